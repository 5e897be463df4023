"""Who is where, live; found by its name, in every process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from databinding.admin.models import Presence
from databinding.admin.streams import may_view
from databinding.websockets import WebsocketBinding

PREFIX = "admin-"


class PlaceSerializer(serializers.Serializer[Any]):
    place = serializers.CharField(max_length=200)


class PresenceBinding(WebsocketBinding):
    """Those at one model's pages, for whoever may see that model in the admin."""

    model = Presence
    stream = "presence"
    fields = ("row", "name")
    parameters = PlaceSerializer

    @classmethod
    def group_names(cls, instance: Model) -> Iterable[str]:
        assert isinstance(instance, Presence)
        return [f"{PREFIX}{instance.place}"]

    @classmethod
    def rows(cls, group: str) -> QuerySet[Any] | None:
        return Presence.objects.filter(place=group.removeprefix(PREFIX))

    def groups_for(
        self, user: Any, groups: frozenset[str], parameters: Mapping[str, Any]
    ) -> Iterable[str]:
        place = parameters.get("place", "")
        if not may_view(place, user):
            raise PermissionDenied("You may not see who is there.")
        return [f"{PREFIX}{place}"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        # Where one may be is asked for each place.
        return action in ("subscribe", "here") and user.is_active and user.is_staff
