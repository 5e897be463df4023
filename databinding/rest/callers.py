"""Who asks: as on the websocket, by token or session."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from databinding.identity import authentication_classes


class KnowsCallers:
    """For a view of Django REST framework, in front of its own class."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [one() for one in (*authentication_classes(), SessionAuthentication)]

    def get_authenticate_header(self, request: Request) -> str:
        """Who isn't logged in is told so (401), whether or not there is a scheme to do it by."""
        view: Any = super()
        return view.get_authenticate_header(request) or "Session"
