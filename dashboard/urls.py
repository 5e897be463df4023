from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from databinding.sse import sse_view

from .consumers import Demultiplexer
from .views import dashboard

urlpatterns = [
    path("", dashboard, name="dashboard"),
    path("stream/<str:stream>/events", sse_view(Demultiplexer), name="events"),
    path("chat/", include("chat.urls")),
    path("admin/", admin.site.urls),
    path(
        "accounts/login/",
        LoginView.as_view(redirect_authenticated_user=True),
        name="login",
    ),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("", include("databinding.urls")),  # healthz, readyz, metrics
    # Browsers ask here on pages that name no icon: the admin's.
    path("favicon.ico", RedirectView.as_view(url=static("dashboard/favicon.svg"))),
]
