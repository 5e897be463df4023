"""What happens in the rooms of a chat, for the oracle: rooms 1 to 3, whose labels are these."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat.jobs import remove_expired_presence
from chat.models import Message, Presence, Room

LABELS = {1: "one", 2: "two", 3: "three"}


def reset():
    Message.objects.all().delete()
    Presence.objects.all().delete()
    for pk, label in LABELS.items():
        Room.objects.get_or_create(pk=pk, defaults={"label": label, "name": label})


def _someone(room):
    """A handle that tells where its message is, for `only_what_is_theirs`."""
    return f"somebody in room-{room}"


def _room(chance):
    return chance.choice(list(LABELS))


def _some(chance):
    """A row that there is, or not."""
    keys = list(Message.objects.order_by("pk").values_list("pk", flat=True))
    return Message.objects.filter(pk=chance.choice(keys or [0]))


def _message(chance):
    room = _room(chance)
    said = f"{chance.randrange(10**6)}"
    return Message(room_id=room, handle=_someone(room), message=said, key=_key(chance))


def _key(chance):
    return UUID(int=chance.getrandbits(128), version=4)


def say(chance):
    _message(chance).save()


def say_much(chance):
    Message.objects.bulk_create([_message(chance) for _ in range(5)])


def say_and_think_better(chance):
    with transaction.atomic():
        say(chance)
        move(chance)
        transaction.set_rollback(True)


def edit(chance):
    _some(chance).update(message=f"edited {chance.randrange(10**6)}")


def move(chance):
    room = _room(chance)
    _some(chance).update(room=room, handle=_someone(room))


def move_all(chance):
    """A whole room moves into another one."""
    room = _room(chance)
    Message.objects.filter(room=_room(chance)).update(room=room, handle=_someone(room))


def move_in_time(chance):
    """What was the oldest may be the newest."""
    when = timezone.now() - timedelta(seconds=chance.randrange(-20, 200))
    _some(chance).update(timestamp=when)


def delete(chance):
    _some(chance).delete()


def delete_old_ones(chance):
    old = Message.objects.filter(room=_room(chance)).order_by("-timestamp")[15:]
    Message.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()


def come(chance):
    room = Room.objects.get(pk=_room(chance))
    Presence.renew(room, _someone(room.pk), UUID(int=chance.randrange(8)))


def go(chance):
    Presence.objects.filter(key=UUID(int=chance.randrange(8))).delete()


def expire(chance):
    ago = timezone.now() - timedelta(seconds=1)
    Presence.objects.filter(key__lt=UUID(int=chance.randrange(8))).update(expires_at=ago)
    remove_expired_presence()


WRITES = [say, say, say, say_much, say_and_think_better, edit, move, move_all, move_in_time,
          delete, delete_old_ones, come, come, go, expire]  # fmt: skip


def only_what_is_theirs(before, after, groups):
    """No row is seen in another room than its own."""
    for pk, row in after.items():
        if row["handle"].split()[-1] not in groups:
            return f"{pk} is of {row['handle']!r}, and was shown to {sorted(groups)}."
    return None
