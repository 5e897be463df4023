"""A page's streams of the models, each in one group."""

from databinding.websockets import WebsocketBinding

from .models import Cafe, Coded, Note, Paper, Pinned, Place, Room

GROUPS = ["everybody"]


class Shown:
    """Everybody sees it all."""

    @classmethod
    def group_names(cls, instance):
        return GROUPS

    def has_permission(self, user, action, pk):
        return True


def binding_of(bound, *fields, **attributes):
    """A binding of a model; not declared before it is wanted."""
    attributes |= {"model": bound, "fields": list(fields) or "__all__"}
    return type(f"{bound.__name__}Binding", (Shown, WebsocketBinding), attributes)


def declare():
    """The bindings by the names of their streams."""
    return {
        "note": binding_of(Note),
        "pinned": binding_of(Pinned, "value"),
        "room": binding_of(Room),
        "place": binding_of(Place),
        "cafe": binding_of(Cafe),
        "paper": binding_of(Paper),
        "coded": binding_of(Coded),
    }
