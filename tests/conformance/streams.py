"""A page's streams of the models, each in one group."""

from rest_framework import serializers

from databinding.websockets import WebsocketBinding

from .models import (
    Bar,
    Cafe,
    Coded,
    Elsewhere,
    Job,
    Leaf,
    Letter,
    Measure,
    Metal,
    Note,
    Paper,
    Permit,
    Pinned,
    Place,
    Room,
    Site,
    Tag,
)

GROUPS = ["everybody"]

#: Streams of rows that show themselves, and of some that show something of others.
PLAIN = [
    *("note", "pinned", "read", "place", "cafe", "bar", "paper", "coded"),
    *("leaf", "measure", "elsewhere", "metal", "job"),
]
DEPENDENT = ["described", "room", "tag", "site", "letter"]


class Shown:
    """Everybody sees it all."""

    @classmethod
    def group_names(cls, instance):
        return GROUPS

    def has_permission(self, user, action, pk):
        return True


def binding_of(bound, *fields, **attributes):
    """A binding of a model; not declared before it is wanted."""
    attributes |= {"model": bound}
    if "serializer_class" not in attributes:
        attributes["fields"] = list(fields) or "__all__"
    return type(f"{bound.__name__}Binding", (Shown, WebsocketBinding), attributes)


def note_data(self, instance):
    room = instance.room
    return {
        "room": room.name,
        "site": room.site and room.site.name,
        "tags": sorted(tag.name for tag in instance.tags.all()),
    }


def number_of_notes(self, instance):
    return {"name": instance.name, "notes": instance.notes.count()}


def number_at_site(self, instance):
    return {"notes": Note.objects.filter(room__site=instance).count()}


def permitted(cls):
    return Letter.objects.filter(name__in=Permit.objects.values("name"))


class NoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Note
        fields = ["name", "readers"]


def declare():
    """The bindings by the names of their streams."""
    return {
        "note": binding_of(Note),
        "pinned": binding_of(Pinned, "value"),
        "read": binding_of(Note, serializer_class=NoteSerializer),
        "place": binding_of(Place),
        "cafe": binding_of(Cafe),
        "bar": binding_of(Bar),
        "paper": binding_of(Paper),
        "coded": binding_of(Coded),
        "leaf": binding_of(Leaf),
        "measure": binding_of(Measure),
        "elsewhere": binding_of(Elsewhere),
        "metal": binding_of(Metal),
        "job": binding_of(Job),
        "described": binding_of(
            Note, watch=["room__name", "room__site", "tags__name"], serialize_data=note_data
        ),
        "room": binding_of(Room, "name", watch=["notes"], serialize_data=number_of_notes),
        "tag": binding_of(Tag, "name", watch=["notes"], serialize_data=number_of_notes),
        "site": binding_of(Site, "name", watch=["rooms__notes"], serialize_data=number_at_site),
        "letter": binding_of(Letter, watch=[Permit], get_queryset=classmethod(permitted)),
    }
