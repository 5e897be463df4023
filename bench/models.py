from django.db import models


class Value(models.Model):
    """As `values.IntegerValue`."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self):
        return self.name


class PlainValue(Value):
    """Not bound: what a save costs without the library."""


class ObservedValue(Value):
    """Observed by djangochannelsrestframework."""


class BoundValue(Value):
    """Bound, and nothing else: the dashboard's values keep their history as well."""
