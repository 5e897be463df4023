"""Models of several shapes, for what one model of integers can't show."""

import uuid

from django.conf import settings
from django.db import models

from databinding.managers import JournalingManager


class Room(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self):
        return self.name


class Message(models.Model):
    """Seen by its room's group; `hidden` ones by nobody."""

    room = models.ForeignKey(Room, models.CASCADE)
    text = models.CharField(max_length=200)
    hidden = models.BooleanField(default=False)
    tags = models.ManyToManyField(Tag)

    def __str__(self):
        return self.text

    @property
    def shout(self):
        return self.text.upper()

    def length(self):
        return len(self.text)


class Paper(models.Model):
    """Every kind of value that goes onto the wire."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    amount = models.DecimalField(max_digits=8, decimal_places=2)
    written = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    took = models.DurationField(null=True)
    ratio = models.FloatField(default=0)
    blob = models.BinaryField(default=b"")
    extra = models.JSONField(default=dict)
    room = models.ForeignKey(Room, models.CASCADE, null=True)

    def __str__(self):
        return str(self.pk)


class Base(models.Model):
    title = models.CharField(max_length=40)

    def __str__(self):
        return self.title


class Child(Base):
    number = models.IntegerField(default=0)


class Slot(models.Model):
    """No two have the same number: who takes another's may displace it."""

    number = models.IntegerField(unique=True)
    name = models.CharField(max_length=40, default="")

    def __str__(self):
        return str(self.number)


class Named(models.Model):
    """Its key is a text that can change."""

    code = models.CharField(max_length=10, primary_key=True)
    value = models.IntegerField(default=0)

    def __str__(self):
        return self.code


class Account(models.Model):
    """All balances add up to nothing, since whatever leaves one comes to another."""

    balance = models.IntegerField(default=0)
    # Grows with every change of the balance.
    changes = models.IntegerField(default=0)

    def __str__(self):
        return str(self.balance)


class Note(models.Model):
    """Seen by its owner, or by everybody."""

    # Tables of apps without migrations are made first.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False, related_name="+"
    )
    text = models.CharField(max_length=40)
    secret = models.CharField(max_length=40, blank=True)
    public = models.BooleanField(default=False)

    def __str__(self):
        return self.text


class Task(models.Model):
    """Journals what sends no signal, where signals capture."""

    code = models.CharField(max_length=20, unique=True)
    room = models.ForeignKey(Room, models.SET_NULL, null=True)
    place = models.IntegerField(default=0)
    done = models.BooleanField(default=False)

    objects = JournalingManager()

    class Meta:
        base_manager_name = "objects"
        constraints = [models.UniqueConstraint(fields=["room", "place"], name="one_task_a_place")]

    def __str__(self):
        return self.code


class Entry(models.Model):
    """Its table Django can't make (`tests.shapes.tables`): in partitions by `place` on PostgreSQL,
    and the database itself deletes it with its room, and clears its tag with that."""

    place = models.IntegerField()
    text = models.CharField(max_length=40)
    room = models.ForeignKey(Room, models.DO_NOTHING)
    tag = models.ForeignKey(Tag, models.DO_NOTHING, null=True)

    class Meta:
        managed = False

    def __str__(self):
        return self.text
