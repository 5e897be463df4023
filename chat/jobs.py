"""What is to be done now and then: settings.PERIODIC_JOBS."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from .models import Presence, Room

#: How old a room is that nobody ever wrote in before it goes.
EMPTY_FOR = timedelta(hours=1)


def remove_expired_presence():
    """Let go of those whose page hasn't said for a while that it is there."""
    Presence.objects.filter(expires_at__lt=timezone.now()).delete()


def remove_empty_rooms():
    """Let go of rooms without messages in which nobody is."""
    old = Room.objects.filter(created__lt=timezone.now() - EMPTY_FOR)
    empty = old.filter(messages=None, presences=None)
    with transaction.atomic():
        # Locked, nobody can enter; who was faster is seen by the second look.
        locked = [room.pk for room in Room.objects.select_for_update().filter(pk__in=empty)]
        empty.filter(pk__in=locked).delete()
