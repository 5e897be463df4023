"""The websocket of the admin's live pages.

    path("admin/live/", LiveAdminDemultiplexer.as_asgi())

beside the admin's own address, among the project's websocket routes.
"""

from __future__ import annotations

from typing import Any

from djangochannelsrestframework.decorators import action as dcrf_action
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from databinding.admin.bindings import PresenceBinding
from databinding.admin.models import Presence
from databinding.admin.streams import GROUP, Streams, may_view
from databinding.identity import current_user
from databinding.inbound import BindingConsumer
from databinding.websockets import WebSocketDemultiplexer

__all__ = ["LiveAdminDemultiplexer"]


class HereSerializer(serializers.Serializer[Any]):
    place = serializers.CharField(max_length=200)
    row = serializers.CharField(max_length=200, allow_blank=True)
    key = serializers.UUIDField()


class PresenceConsumer(BindingConsumer):
    """Beside who is there: pages that say they are."""

    binding = PresenceBinding

    @dcrf_action()  # type: ignore[untyped-decorator]
    def here(self, **said: Any) -> tuple[dict[str, Any], int]:
        """This page is at this row; to be said anew before its lease ends."""
        serializer = HereSerializer(data=said)
        serializer.is_valid(raise_exception=True)
        valid = serializer.validated_data
        user = current_user(self.scope)
        if not may_view(valid["place"], user):
            raise PermissionDenied("You may not be there.")
        presence = Presence.renew(valid["place"], valid["row"], user, valid["key"])
        return {"pk": presence.pk}, 200


class LiveAdminDemultiplexer(WebSocketDemultiplexer):
    """Carries a stream for each live admin, and who is where."""

    consumers = Streams(presence=PresenceConsumer)

    async def connection_groups(self) -> list[str]:
        return [GROUP]
