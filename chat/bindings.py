"""What of the chat is live: autodiscovered by `databinding` in every process."""

from databinding.websockets import WebsocketBinding

from . import throttles
from .models import Message, Presence


class OfRoom:
    """Rows that everybody in their room sees."""

    @classmethod
    def group_names(cls, instance):
        return [f"room-{instance.room_id}"]

    @classmethod
    def rows(cls, group):
        return cls.model.objects.filter(room_id=group.removeprefix("room-"))


class MessageBinding(OfRoom, WebsocketBinding):
    model = Message
    stream = "chat"
    fields = ["handle", "message", "timestamp", "key"]
    order_by = ["-timestamp"]
    limit = 50
    max_limit = 1000
    throttle_classes = [throttles.Sending, throttles.SendingOfAddress, throttles.Reading]
    asks_nothing = True

    def has_permission(self, user, action, pk):
        return action in ("subscribe", "list", "retrieve", "create")


class PresenceBinding(OfRoom, WebsocketBinding):
    model = Presence
    stream = "presence"
    fields = ["handle"]
    throttle_classes = [throttles.Renewing, throttles.RenewingOfAddress, throttles.Reading]
    asks_nothing = True

    def has_permission(self, user, action, pk):
        return action in ("subscribe", "list", "retrieve", "here")
