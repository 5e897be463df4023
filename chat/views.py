from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework.fields import UUIDField
from rest_framework.serializers import ValidationError

from .models import Message, Presence, Room

#: Rooms that the first page lists.
LISTED = 20


@never_cache
def about(request):
    """What this is, and the rooms that were last written in."""
    return render(request, "chat/about.html", {"rooms": Room.objects.latest_first()[:LISTED]})


@never_cache
def new(request):
    """A room of one's own."""
    return redirect("chat:room", Room.objects.free_label())


@never_cache
def room(request, label):
    """A room with its last messages and who is here; its websocket opens one that isn't there."""
    limits = {name: Message._meta.get_field(name).max_length for name in ("handle", "message")}
    room = Room.objects.at(label) or Room(label=label, name=label)
    return render(request, "chat/room.html", {"room": room, "limits": limits})


@csrf_exempt  # Who knows the key is the page.
@require_POST
def gone(request, label):
    """A page is left. By HTTP: a request on a websocket may end with it, and that with its page."""
    try:
        key = UUIDField().run_validation(request.POST.get("key"))
    except ValidationError:
        return HttpResponse(status=400)
    Presence.objects.filter(key=key, room__label=label).delete()
    return HttpResponse(status=204)
