"""Bindings that depend on several tables, for programs of writes: registered where they are wanted.

Triggers for them would journal more than most tests expect.
"""

from databinding import capture
from databinding.binding import registry
from databinding.websockets import WebsocketBinding
from tests.shapes import bindings

from .models import Child, Entry, Message, Room, Slot


class TitledBinding(bindings.Open, WebsocketBinding):
    """Messages with the names of their rooms and tags."""

    model = Message
    stream = "titled"
    fields = ["room"]
    watch = ["room__name", "tags__name"]
    group_names = bindings.MessageBinding.group_names

    @classmethod
    def get_queryset(cls):
        return Message.objects.select_related("room").prefetch_related("tags")

    def serialize_data(self, instance):
        names = sorted(tag.name for tag in instance.tags.all())
        return {"room": instance.room_id, "name": instance.room.name, "tags": names}


class RoomBinding(bindings.Open, WebsocketBinding):
    """Rooms with the number of their messages and of those messages' tags."""

    model = Room
    stream = "room"
    fields = ["name"]
    watch = ["message__tags"]

    @classmethod
    def group_names(cls, instance):
        return [f"room-{instance.pk}"]

    def serialize_data(self, instance):
        tags = Message.tags.through.objects.filter(message__room=instance)
        return {
            "name": instance.name,
            "messages": instance.message_set.count(),
            "tags": tags.count(),
        }


class TallBinding(bindings.ChildBinding):
    """Children, seen by how large their number is; their titles are their parents'."""

    model = Child
    stream = "tall"

    @classmethod
    def group_names(cls, instance):
        return [f"room-{1 + instance.number % 3}"]


class SlotBinding(bindings.Open, WebsocketBinding):
    model = Slot
    stream = "slot"
    fields = ["number", "name"]

    @classmethod
    def group_names(cls, instance):
        return ["named"]


class EntryBinding(bindings.Open, WebsocketBinding):
    """Rows that move between partitions, and go and change by the database's own doing."""

    model = Entry
    stream = "entry"
    fields = ["place", "text", "room", "tag"]

    @classmethod
    def group_names(cls, instance):
        return [f"room-{instance.room_id}"]


BINDINGS = [TitledBinding, RoomBinding, TallBinding, SlotBinding, EntryBinding]


def register():
    """Have them among the bindings; their triggers come with the next `install`."""
    registry.extend(one for one in BINDINGS if one not in registry)
    capture.connect()


def unregister():
    registry[:] = [one for one in registry if one not in BINDINGS]
    capture.connect()


unregister()


class Demultiplexer(bindings.Demultiplexer):
    consumers = {
        "message": bindings.MessageBinding,
        "latest": bindings.LatestBinding,
        "named": bindings.NamedBinding,
        "account": bindings.AccountBinding,
        "note": bindings.NoteBinding,
        "team": bindings.TeamBinding,
        **{binding.stream: binding for binding in BINDINGS},
    }


def one_name_per_room(before, after, groups):
    """Stream `titled`: what is shown of a room is the same everywhere."""
    names = {}
    for row in after.values():
        names.setdefault(row["room"], set()).add(row["name"])
    for room, shown in names.items():
        if len(shown) > 1:
            return f"Room {room} has the names {sorted(shown)} at once."
    return None


def numbers_once(before, after, groups):
    """Stream `slot`: no two have the same number."""
    numbers = [row["number"] for row in after.values()]
    twice = {number for number in numbers if numbers.count(number) > 1}
    return f"Numbers are shown twice: {sorted(twice)}." if twice else None


INVARIANTS = {"titled": [one_name_per_room], "slot": [numbers_once]}
