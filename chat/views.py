from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from .models import Message, Room

#: Rooms that the first page lists.
LISTED = 20


@never_cache
def about(request):
    """What this is, and the rooms that were last written in."""
    return render(request, "chat/about.html", {"rooms": Room.objects.latest_first()[:LISTED]})


@never_cache
def new(request):
    """A room of one's own."""
    return redirect("chat:room", Room.objects.new().label)


@never_cache
def room(request, label):
    """A room, made at the first visit, with its last messages and who is here."""
    limits = {name: Message._meta.get_field(name).max_length for name in ("handle", "message")}
    return render(request, "chat/room.html", {"room": Room.objects.visit(label), "limits": limits})
