from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from databinding.rest import rest_urls
from databinding.sse import sse_view
from values.api import history_urls

from .consumers import Demultiplexer
from .views import dashboard, elements

#: By these names Django REST framework's pages look for them.
accounts = [
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]

pasts = [path("values/", include(history_urls(Demultiplexer)))]

urlpatterns = [
    path("", dashboard, name="dashboard"),
    path("elements/", elements, name="elements"),
    path("stream/<str:stream>/events", sse_view(Demultiplexer), name="events"),
    path("api/", include(rest_urls(Demultiplexer, beside=pasts, events="events"))),
    path("chat/", include("chat.urls")),
    path("admin/", admin.site.urls),
    path("accounts/", include(accounts)),
    path("accounts/", include((accounts, "rest_framework"))),
    path("", include("databinding.urls")),  # healthz, readyz, metrics
    # Browsers ask here on pages that name no icon: the admin's.
    path("favicon.ico", RedirectView.as_view(url=static("dashboard/favicon.svg"))),
]
