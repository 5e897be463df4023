from channels.generic.websocket import AsyncJsonWebsocketConsumer

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
