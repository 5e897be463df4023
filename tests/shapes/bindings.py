from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db.models import Q
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from databinding.websockets import (
    WebsocketBinding,
    WebsocketBindingWithMembers,
    WebSocketDemultiplexer,
)

from .models import Account, Child, Message, Named, Note, Paper, Task


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


class NoteBinding(Open, WebsocketBinding):
    """Everybody sees his own and what is public, staff everything; only staff the secrets."""

    model = Note
    stream = "note"
    fields = ["owner", "text", "secret", "public"]

    @classmethod
    def group_names(cls, instance):
        return ["notes"]

    @classmethod
    def get_queryset(cls, user):
        if user.is_staff:
            return Note.objects.all()
        return Note.objects.filter(Q(owner=user.pk) | Q(public=True))

    @classmethod
    def readable_fields(cls, user):
        return None if user.is_staff else ["owner", "text", "public"]


class TeamBinding(Open, WebsocketBinding):
    """A team is who has the same last name: they see each other's, and share an audience."""

    model = Note
    stream = "team"
    fields = ["owner", "text"]
    watch = ["owner"]
    group_names = NoteBinding.group_names

    @classmethod
    def get_queryset(cls, user):
        return Note.objects.filter(owner__last_name=getattr(user, "last_name", ""))

    @classmethod
    def audience_key(cls, user):
        return getattr(user, "last_name", "")


class PermittedBinding(WebsocketBinding):
    """For those who have the model's permission."""

    model = Note
    stream = "permitted"
    fields = ["text"]
    group_names = NoteBinding.group_names

    def has_permission(self, user, action, pk):
        return user.has_perm("shapes.view_note")


class TaskBinding(Open, WebsocketBinding):
    model = Task
    stream = "task"
    fields = ["code", "room", "done"]

    @classmethod
    def group_names(cls, instance):
        return ["tasks"]


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
        "note": NoteBinding,
        "team": TeamBinding,
        "permitted": PermittedBinding,
        "task": TaskBinding,
        "closed": ClosedBinding,
        "parrot": Parrot,
    }

    async def connection_groups(self, rooms="1", **kwargs):
        names = ["members", "papers", "children", "named", "accounts", "notes", "tasks"]
        return names + [f"room-{room}" for room in rooms.split("-")]
