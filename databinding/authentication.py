"""Tokens of ``rest_framework.authtoken``, in either spelling of the header."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from rest_framework import authentication, exceptions


class TokenAuthentication(authentication.TokenAuthentication):
    """``Authorization: Token …``, as Django REST framework's own, or ``Bearer …``.

    Of ``DATABINDING["AUTHENTICATION"]`` the default: it serves projects that have the app
    ``rest_framework.authtoken``, and elsewhere says to who brings a token that it is of no use.
    """

    schemes = ("token", "bearer")

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        words = authentication.get_authorization_header(request).split()
        scheme = words[0].lower().decode("latin-1") if words else ""
        if scheme not in self.schemes:
            return None
        if self.model is None and not apps.is_installed("rest_framework.authtoken"):
            raise exceptions.AuthenticationFailed("No tokens are known here.")
        self.keyword = scheme  # What the request spelt is what is looked for.
        return super().authenticate(request)

    def authenticate_header(self, request: Any) -> str:
        return "Token"
