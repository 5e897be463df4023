"""Models with rules that the database keeps, for what is written from outside."""

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q


class Hall(models.Model):
    name = models.CharField(max_length=40, unique=True)

    def __str__(self):
        return self.name


class Booking(models.Model):
    """Whoever saves one through `save()` counts it."""

    hall = models.ForeignKey(Hall, models.PROTECT)
    slot = models.IntegerField(default=0, validators=[MaxValueValidator(100)])
    begins = models.IntegerField(default=0)
    ends = models.IntegerField(default=0)
    code = models.CharField(max_length=10, default="", blank=True)
    owner = models.CharField(max_length=40, default="")
    saves = models.IntegerField(default=0)
    extra = models.JSONField(default=dict, blank=True)

    class Meta:
        unique_together = [("hall", "slot")]
        constraints = [
            models.CheckConstraint(condition=Q(begins__lte=F("ends")), name="ends_after_begin"),
            models.UniqueConstraint("code", condition=~Q(code=""), name="code_once"),
        ]

    def __str__(self):
        return f"{self.hall_id}/{self.slot}"

    def save(self, *args, **kwargs):
        self.saves += 1
        super().save(*args, **kwargs)


class Point(models.Field):
    """A field of one's own, for which Django REST framework has none: 3/4 on the wire."""

    def db_type(self, connection):
        return "varchar(20)"

    def to_python(self, value):
        return tuple(map(int, value.split("/")))

    def from_db_value(self, value, expression, connection):
        return value and self.to_python(value)

    def get_prep_value(self, value):
        return value and "/".join(map(str, value))

    def value_to_string(self, obj):
        return self.get_prep_value(self.value_from_object(obj))


class Parcel(models.Model):
    """Values of kinds that clients may say wrongly in ways of their own."""

    content = models.BinaryField(editable=True, default=b"", max_length=9)
    place = Point(null=True)
    weight = models.IntegerField(db_default=1)
    halls = models.ManyToManyField(Hall, blank=True)
    leaves = models.DateTimeField(null=True)
    takes = models.DurationField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(weight__gt=0), name="has_weight")]

    def __str__(self):
        return str(self.place)


class Badge(models.Model):
    """Its reference is checked when the transaction commits, not before."""

    hall = models.ForeignKey(Hall, models.DO_NOTHING)

    def __str__(self):
        return str(self.hall_id)


class Locker(models.Model):
    hall = models.ForeignKey(Hall, models.RESTRICT)

    def __str__(self):
        return str(self.hall_id)


class Note(models.Model):
    """Its owner's, who may share it with all others to read."""

    # No constraint: an app without migrations has its tables before any other app has.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False)
    text = models.CharField(max_length=200)
    shared = models.BooleanField(default=False)

    def __str__(self):
        return self.text
