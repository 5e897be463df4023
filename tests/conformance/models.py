"""Models of every shape. Their tables are made for the tests of this folder alone."""

import uuid

from django.db import models


class Model(models.Model):
    """An abstract base: its fields are in the tables of its children."""

    name = models.CharField(max_length=40, default="")

    class Meta:
        abstract = True
        managed = False

    def __str__(self):
        return self.name


class Site(Model):
    """Its page shows how many notes its rooms have."""


class Room(Model):
    """Its page shows how many notes it has."""

    site = models.ForeignKey(Site, models.SET_NULL, null=True, related_name="rooms")


class Tag(Model):
    """Its page shows how many notes have it."""


class Note(Model):
    """Its page shows the names of its room, its room's site and its tags."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="notes")
    value = models.IntegerField(default=0)
    tags = models.ManyToManyField(Tag, related_name="notes")
    readers = models.ManyToManyField(Tag, through="Reading", related_name="read")


class Reading(models.Model):
    """A many-to-many table with columns of its own."""

    note = models.ForeignKey(Note, models.CASCADE)
    reader = models.ForeignKey(Tag, models.CASCADE)
    often = models.IntegerField(default=1)

    class Meta:
        managed = False

    def __str__(self):
        return f"{self.note} {self.reader}"


class Pinned(Note):
    """A proxy."""

    class Meta:
        proxy = True


class Place(Model):
    pass


class Cafe(Place):
    """A child with a table of its own, beside its parent's."""

    seats = models.IntegerField(default=0)

    class Meta:
        managed = False


class Licence(models.Model):
    number = models.CharField(max_length=10, primary_key=True)
    holder = models.CharField(max_length=40)

    class Meta:
        managed = False

    def __str__(self):
        return self.number


class Bar(Place, Licence):
    """A child of two parents, one of which has another key."""

    class Meta:
        managed = False


class Paper(Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class Coded(Model):
    """A key that can change, and another unique column."""

    code = models.CharField(max_length=10, primary_key=True)
    number = models.IntegerField(unique=True, null=True)


class Permit(Model):
    """Says by its name which letters are shown; no relation leads there."""


class Letter(Model):
    pass


#: In an order in which their tables can be made.
MODELS = [
    *(Site, Room, Tag, Note, Reading, Place, Cafe, Licence, Bar, Paper, Coded, Permit, Letter),
]
