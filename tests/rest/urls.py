from django.urls import include, path

from databinding.rest import rest_urls
from tests.shapes.bindings import Demultiplexer

urlpatterns = [path("rooms/<str:rooms>/", include(rest_urls(Demultiplexer)))]
