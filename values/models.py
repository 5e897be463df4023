from django.db import models


class IntegerValue(models.Model):
    """A named integer that every open dashboard shows."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)

    class Meta:
        ordering = ["name"]
        verbose_name = "integer value"
        verbose_name_plural = "integer values"

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"
