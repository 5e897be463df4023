"""What every open dashboard shows: named values of four kinds.

All have a name and, where something reports them, say how often. Numbers have a unit, the range
in which they may be set, and thresholds. Whoever writes by form, REST or websocket is held to the
range (`clean`); what a program reports by the ORM or SQL may lie beyond it: a reading is a fact.

What stands beside name and value has its default in the database, too: for programs that insert
these two alone.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

#: The order in which these must rise, where they are given.
LIMITS = ("minimum", "critical_low", "warn_low", "warn_high", "critical_high", "maximum")


def validate_finite(value: float) -> None:
    """Neither an infinity nor NaN is a number that JSON can say."""
    if not math.isfinite(value):
        raise ValidationError("Enter a finite number.")


class Value(models.Model):
    """What the values of all kinds have in common; each kind adds its `value`."""

    value: Any

    name = models.CharField(
        max_length=100,
        unique=True,
        help_text="The part before the first dot is its group.",
    )
    expected_interval = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001), validate_finite],
        help_text="Seconds between reports; it is stale after three times that.",
    )
    reported_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When its source last said what it is, changed or not.",
    )

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


def _limit(help_text: str) -> Any:
    return models.FloatField(
        null=True, blank=True, validators=[validate_finite], help_text=help_text
    )


def _rising(names: Sequence[str]) -> Q:
    condition = Q()
    for at, low in enumerate(names):
        for high in names[at + 1 :]:
            unknown = Q(**{f"{low}__isnull": True}) | Q(**{f"{high}__isnull": True})
            condition &= unknown | Q(**{f"{low}__lte": F(high)})
    return condition


class Quantity(Value):
    """A number, with its unit, range and thresholds."""

    unit = models.CharField(
        max_length=20, blank=True, default="", db_default="", help_text="As °C, rpm or %."
    )
    minimum = _limit("The least that may be entered, and where its gauge begins.")
    maximum = _limit("The most that may be entered, and where its gauge ends.")
    critical_low = _limit("Critical from here downwards.")
    warn_low = _limit("A warning from here downwards.")
    warn_high = _limit("A warning from here upwards.")
    critical_high = _limit("Critical from here upwards.")

    class Meta(Value.Meta):
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=_rising(LIMITS),
                name="%(class)s_limits_rise",
                violation_error_message="Limits must not be less than those below them.",
            )
        ]

    def clean(self) -> None:
        """Limits rise; what somebody enters lies between minimum and maximum."""
        super().clean()
        given = [(name, limit) for name in LIMITS if (limit := getattr(self, name)) is not None]
        errors = {
            name: f"This must not be less than {below.replace('_', ' ')} ({least:g})."
            for (below, least), (name, limit) in pairwise(given)
            if limit < least
        }
        if not errors and self.value is not None:
            if self.minimum is not None and self.value < self.minimum:
                errors["value"] = f"This must be {self.minimum:g} or more."
            elif self.maximum is not None and self.value > self.maximum:
                errors["value"] = f"This must be {self.maximum:g} or less."
        if errors:
            raise ValidationError(errors)


class IntegerValue(Quantity):
    """A named integer that every open dashboard shows."""

    value = models.IntegerField(default=0)

    class Meta(Quantity.Meta):
        verbose_name = "integer value"
        verbose_name_plural = "integer values"


class FloatValue(Quantity):
    """A named number with decimals."""

    value = models.FloatField(default=0.0, validators=[validate_finite])
    decimals = models.PositiveSmallIntegerField(
        default=2,
        db_default=2,
        validators=[MaxValueValidator(10)],
        help_text="How many of its decimals are shown.",
    )

    class Meta(Quantity.Meta):
        verbose_name = "decimal value"
        verbose_name_plural = "decimal values"


class BooleanValue(Value):
    """A named yes or no, of which one may be a warning or critical."""

    class State(models.TextChoices):
        YES = "yes", "Yes"
        NO = "no", "No"

    value = models.BooleanField(default=False)
    warn_on = models.CharField(
        max_length=3,
        choices=State,
        blank=True,
        default="",
        db_default="",
        help_text="Which is a warning.",
    )
    critical_on = models.CharField(
        max_length=3,
        choices=State,
        blank=True,
        default="",
        db_default="",
        help_text="Which is critical.",
    )

    class Meta(Value.Meta):
        verbose_name = "yes or no"
        verbose_name_plural = "yes or no values"
        constraints = [
            models.CheckConstraint(
                condition=Q(warn_on="") | ~Q(warn_on=F("critical_on")),
                name="booleanvalue_warn_or_critical",
                violation_error_message="One state can't be a warning and critical.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} = {'yes' if self.value else 'no'}"

    def clean(self) -> None:
        super().clean()
        if self.warn_on and self.warn_on == self.critical_on:
            raise ValidationError({"critical_on": "This is what a warning is for already."})


class TextValue(Value):
    """A named text."""

    value = models.CharField(max_length=500, blank=True, default="")

    class Meta(Value.Meta):
        verbose_name = "text"
        verbose_name_plural = "texts"


class Kept(models.Model):
    """What is kept of a value's past; `kind` is the stream of the value whose key `key` is.

    Not a foreign key: the past of a value that was deleted stays until it is old enough.
    """

    kind = models.CharField(max_length=10)
    key = models.BigIntegerField()
    time = models.DateTimeField()
    #: What it was from then on: a number (1 and 0 for yes and no) or a text; neither: not known.
    number = models.FloatField(null=True)
    text = models.CharField(max_length=500, null=True)  # noqa: DJ001  (an empty text is one)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.kind} {self.key} = {self.value} at {self.time:%Y-%m-%d %H:%M:%S}"

    @property
    def value(self) -> float | str | None:
        return self.number if self.text is None else self.text


class Sample(Kept):
    """One change of a value. Triggers on the values' tables write it; see `values.samples`."""

    #: The name of the user who wrote it; empty: a program, or nobody knows.
    who = models.CharField(max_length=150, blank=True, default="", db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["kind", "key", "time"], name="sample_of_value"),
            models.Index(fields=["time"], name="sample_by_time"),
        ]


class Summary(Kept):
    """What a value was in `width` seconds from `time`; there is one where it changed in them.

    `number` or `text` is what it was at their end. Least, most and mean are those of the time for
    which it was known, `known` seconds.
    """

    width = models.IntegerField()
    known = models.FloatField()
    least = models.FloatField(null=True)
    most = models.FloatField(null=True)
    mean = models.FloatField(null=True)
    count = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key", "width", "time"], name="summary_of_value"
            )
        ]
        indexes = [models.Index(fields=["width", "time"], name="summary_by_time")]


class Description(models.Model):
    """What a value was called and how it was to be read, from then on, until there is another one.

    Triggers on the values' tables write it, as they do samples. It tells from when to when there
    was a value, too; and is all that is left of one that was deleted, besides its samples.
    """

    kind = models.CharField(max_length=10)
    key = models.BigIntegerField()
    time = models.DateTimeField()
    #: None: it was deleted.
    name = models.CharField(max_length=100, null=True)  # noqa: DJ001  (an empty name is one)
    #: What its row said besides name, value and report: unit, thresholds and so on.
    about = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["kind", "key", "time"], name="description_of_value"),
            models.Index(fields=["kind", "name"], name="description_by_name"),
            models.Index(fields=["time"], name="description_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}, {self.name} at {self.time:%Y-%m-%d %H:%M:%S}"


class Silence(models.Model):
    """A silence that was told afterwards, from when its source's report was due.

    Triggers write it with the sample that says so; who sums up takes it off the summaries that
    were made meanwhile, and forgets it. See `values.samples.cutting`.
    """

    kind = models.CharField(max_length=10)
    key = models.BigIntegerField()
    time = models.DateTimeField()
    told = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} {self.key} silent since {self.time:%Y-%m-%d %H:%M:%S}"


class SummarisedUntil(models.Model):
    """How far the summaries of one width go."""

    width = models.IntegerField(primary_key=True)
    time = models.DateTimeField()
    #: Where the slice of time ends that is being summarised; None: none is.
    slice_end = models.DateTimeField(null=True)
    #: The last value, by kind and key, that is done in it.
    kind = models.CharField(max_length=10, blank=True, default="", db_default="")
    key = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.width} s until {self.time}"
