import uuid
from datetime import timedelta

from django.db import models
from django.urls import reverse
from django.utils import timezone

#: How long somebody counts as here after their page has last said so. Browsers let a hidden page
#: speak once a minute.
LEASE = timedelta(seconds=90)


class RoomManager(models.Manager["Room"]):
    def free_label(self) -> str:
        """A readable label that no room has; there are hundreds of millions."""
        from coolname import generate_slug  # reads lists of words, which most processes don't need

        while self.filter(label=(label := generate_slug(3))).exists():
            pass
        return label

    def at(self, label: str) -> "Room | None":
        """The room of this label, if somebody has opened it."""
        return self.filter(label=label).first()

    def visit(self, label: str) -> "Room":
        """The room of this label, which its first visitor opens."""
        return self.get_or_create(label=label, defaults={"name": label})[0]

    def latest_first(self) -> models.QuerySet["Room"]:
        """Those that were written in, with `last`, the time of their last message."""
        theirs = Message.objects.filter(room=models.OuterRef("pk")).order_by("-timestamp")
        rooms = self.annotate(last=models.Subquery(theirs.values("timestamp")[:1]))
        return rooms.filter(last__isnull=False).order_by("-last")


class Room(models.Model):
    name = models.CharField(max_length=100)
    label = models.SlugField(max_length=50, unique=True)
    created = models.DateTimeField(auto_now_add=True)

    objects = RoomManager()

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("chat:room", args=[self.label])


class Message(models.Model):
    room = models.ForeignKey(Room, models.CASCADE, related_name="messages", db_index=False)
    handle = models.CharField(max_length=40)
    message = models.TextField(max_length=2000)
    timestamp = models.DateTimeField(auto_now_add=True, db_index=True)
    #: Made by whoever sends it: sent twice, after an answer that was lost, it is stored once.
    key = models.UUIDField(default=uuid.uuid4, unique=True)

    class Meta:
        ordering = ["timestamp", "pk"]
        indexes = [models.Index(fields=["room", "-timestamp", "-id"], name="chat_message_newest")]

    def __str__(self) -> str:
        return f"{self.handle}: {self.message[:60]}"


class Presence(models.Model):
    """An open page of somebody in a room, which renews it for as long as it lives."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="presences")
    handle = models.CharField(max_length=40)
    #: The page's secret: who knows it may renew and end this.
    key = models.UUIDField(unique=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.handle} in {self.room_id}"

    @classmethod
    def renew(cls, room: Room, handle: str, key: uuid.UUID) -> "Presence":
        """Say that this page is here, for another `LEASE`."""
        lease = {"room": room, "handle": handle, "expires_at": timezone.now() + LEASE}
        return cls.objects.update_or_create(key=key, defaults=lease)[0]
