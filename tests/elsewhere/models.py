"""Models of the other database."""

from django.db import models


class Value(models.Model):
    name = models.CharField(max_length=40)
    value = models.IntegerField(default=0)

    def __str__(self):
        return self.name
