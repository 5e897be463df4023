from django.db import models


class PeriodicJob(models.Model):
    """When a job of settings.PERIODIC_JOBS is due, and whether somebody is at it."""

    path = models.CharField(primary_key=True, max_length=200)
    due = models.DateTimeField()
    #: Who does it has it until then; whoever dies over it holds nobody up for longer.
    leased_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.path
