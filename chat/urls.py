from django.urls import path, register_converter

from . import views
from .labels import LabelConverter

register_converter(LabelConverter, "label")

app_name = "chat"
urlpatterns = [
    path("", views.about, name="about"),
    path("new/", views.new, name="new"),
    path("<label:label>/", views.room, name="room"),
    path("<label:label>/gone/", views.gone, name="gone"),
]
