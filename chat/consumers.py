"""What `ws /chat/<label>/` speaks."""

from djangochannelsrestframework.decorators import action
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from databinding.throttling import AskedRequest, AskedView, TooOften
from databinding.websockets import WebSocketDemultiplexer

from .bindings import MessageBinding, PresenceBinding
from .models import Presence, Room
from .throttles import Opening


class MessageConsumer(MessageBinding.consumer):
    def perform_create(self, serializer):
        serializer.save(room=room_of(self))


class PresenceConsumer(PresenceBinding.consumer):
    @action()
    def here(self, key, handle, **kwargs):
        """This page is here, under this name; to be said anew before its lease ends."""
        said = Here(data={"key": key, "handle": handle})
        said.is_valid(raise_exception=True)
        Presence.renew(room_of(self), **said.validated_data)
        return None, 200


class Here(serializers.Serializer):
    key = serializers.UUIDField()
    handle = serializers.CharField(max_length=40)


class Demultiplexer(WebSocketDemultiplexer):
    consumers = {"chat": MessageConsumer, "presence": PresenceConsumer}

    def connection_groups(self, label):
        room = self.scope["room"] = Room.objects.at(label) or self.opened(label)
        return [f"room-{room.pk}"]

    def opened(self, label):
        """The room of a label that has none yet. Raises `TooOften`."""
        opening = Opening()
        asked = AskedRequest(self.scope, self.scope.get("user"), "open")
        if not opening.allow_request(asked, AskedView(MessageBinding, "open", {})):
            raise TooOften(opening.wait(), opening.detail)
        return Room.objects.visit(label)


def room_of(consumer):
    """The room of the connection's route, whatever its client says."""
    room = Room.objects.filter(pk=consumer.scope["room"].pk).first()
    if room is None:
        raise NotFound("This room was closed. Reload the page to open it anew.")
    return room
