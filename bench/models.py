from django.db import models


class PlainValue(models.Model):
    """As `values.IntegerValue`, and not bound: what a save costs without the library."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)

    def __str__(self):
        return self.name
