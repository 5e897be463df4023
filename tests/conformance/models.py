"""Models of every shape. Their tables are made for the tests of this folder alone."""

import uuid

from django.db import connection, models

from databinding.managers import JournalingManager


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


class Tree(Model):
    pass


class Leaf(Model):
    """What becomes of it with its trees, the database does by itself."""

    tree = models.ForeignKey(Tree, models.DO_NOTHING, null=True)
    beside = models.ForeignKey(Tree, models.DO_NOTHING, null=True, related_name="+")

    ddl = """
        CREATE TABLE conformance_leaf (
            id integer PRIMARY KEY, name varchar(40) NOT NULL,
            tree_id bigint REFERENCES conformance_tree ON DELETE CASCADE ON UPDATE CASCADE,
            beside_id bigint REFERENCES conformance_tree ON DELETE SET NULL
        )
    """


class Measure(Model):
    """On PostgreSQL in partitions, by its value."""

    value = models.IntegerField(default=0)

    ddl = """
        CREATE TABLE conformance_measure (id integer, name varchar(40) NOT NULL, value integer)
    """
    if connection.vendor == "postgresql":
        ddl = f"""{ddl} PARTITION BY RANGE (value);
            CREATE TABLE conformance_low PARTITION OF conformance_measure
                FOR VALUES FROM (0) TO (10);
            CREATE TABLE conformance_high PARTITION OF conformance_measure
                FOR VALUES FROM (10) TO (20);
        """


class Elsewhere(models.Model):
    """On PostgreSQL in a schema of its own."""

    name = models.CharField(max_length=40)

    class Meta:
        managed = False
        db_table = 'elsewhere"."thing' if connection.vendor == "postgresql" else "elsewhere_thing"

    def __str__(self):
        return self.name

    ddl = "CREATE TABLE elsewhere_thing (id integer PRIMARY KEY, name varchar(40) NOT NULL)"
    if connection.vendor == "postgresql":
        ddl = f"CREATE SCHEMA elsewhere; {ddl.replace('_thing', '.thing')}"


class Metal(Model):
    """On PostgreSQL with a table that inherits from its own."""

    ddl = "CREATE TABLE conformance_metal (id integer PRIMARY KEY, name varchar(40) NOT NULL)"
    if connection.vendor == "postgresql":
        ddl = f"{ddl}; CREATE TABLE conformance_iron () INHERITS (conformance_metal)"


class Job(Model):
    """Journals what sends no signal, where signals capture."""

    number = models.IntegerField(unique=True)
    room = models.ForeignKey(Room, models.SET_NULL, null=True, related_name="jobs")

    objects = JournalingManager()

    class Meta(Model.Meta):
        base_manager_name = "objects"


class Permit(Model):
    """Says by its name which letters are shown; no relation leads there."""


class Letter(Model):
    pass


#: In an order in which their tables can be made.
MODELS = [
    *(Site, Room, Tag, Note, Reading, Place, Cafe, Licence, Bar, Paper, Coded, Permit, Letter),
    *(Tree, Leaf, Measure, Elsewhere, Metal, Job),
]
