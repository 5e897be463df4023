from channels.generic.websocket import AsyncJsonWebsocketConsumer
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from databinding.websockets import (
    WebsocketBinding,
    WebsocketBindingWithMembers,
    WebSocketDemultiplexer,
)

from .models import Account, Child, Message, Named, Paper


class Open:
    """Anybody may do anything."""

    def has_permission(self, user, action, pk):
        return True


class MessageBinding(Open, WebsocketBinding):
    """A row's group depends on the row."""

    model = Message
    stream = "message"
    fields = ["room", "text", "hidden", "tags"]

    @classmethod
    def group_names(cls, instance):
        return [] if instance.hidden else [f"room-{instance.room_id}"]


class RoomParameters(serializers.Serializer):
    room = serializers.IntegerField(required=False)


class LatestBinding(Open, WebsocketBinding):
    """A window: the first messages of the rooms, by their text; of one of them if asked."""

    model = Message
    stream = "latest"
    fields = ["room", "text"]
    order_by = ["text"]
    limit = 3
    max_limit = 10
    parameters = RoomParameters
    group_names = MessageBinding.group_names

    @classmethod
    def rows(cls, group):
        kind, _, room = group.partition("-")
        rooms = [int(room)] if kind == "room" else []
        return Message.objects.filter(hidden=False, room_id__in=rooms)

    def groups_for(self, user, groups, parameters):
        if "room" not in parameters:
            return groups
        group = f"room-{parameters['room']}"
        if group not in groups:
            raise PermissionDenied("That room isn't yours.")
        return [group]


class MemberBinding(Open, WebsocketBindingWithMembers):
    model = Message
    stream = "member"
    fields = ["text"]
    send_members = ["shout", "length", "room.name"]

    @classmethod
    def group_names(cls, instance):
        return ["members"]


class PaperBinding(Open, WebsocketBinding):
    model = Paper
    stream = "paper"
    exclude = ["room"]

    @classmethod
    def group_names(cls, instance):
        return ["papers"]


class ChildBinding(Open, WebsocketBinding):
    model = Child
    stream = "child"
    fields = ["title", "number"]

    @classmethod
    def group_names(cls, instance):
        return ["children"]


class NamedBinding(Open, WebsocketBinding):
    model = Named
    stream = "named"
    fields = "__all__"

    @classmethod
    def group_names(cls, instance):
        return ["named"]


class AccountBinding(Open, WebsocketBinding):
    model = Account
    stream = "account"
    fields = ["balance", "changes"]

    @classmethod
    def group_names(cls, instance):
        return ["accounts"]


class ClosedBinding(WebsocketBinding):
    """Grants nothing."""

    model = Named
    stream = "closed"
    fields = ["value"]

    @classmethod
    def group_names(cls, instance):
        return ["named"]


class Parrot(AsyncJsonWebsocketConsumer):
    """A consumer that knows nothing of bindings."""

    async def receive_json(self, content, **kwargs):
        if content == "fail":
            raise RuntimeError("as asked")
        if content == "end":
            await self.close()
        else:
            await self.send_json({"said": content})


class Demultiplexer(WebSocketDemultiplexer):
    consumers = {
        "message": MessageBinding,
        "latest": LatestBinding,
        "member": MemberBinding.consumer,
        "paper": PaperBinding,
        "child": ChildBinding,
        "named": NamedBinding,
        "account": AccountBinding,
        "closed": ClosedBinding,
        "parrot": Parrot,
    }

    async def connection_groups(self, rooms="1", **kwargs):
        names = ["members", "papers", "children", "named", "accounts"]
        return names + [f"room-{room}" for room in rooms.split("-")]
