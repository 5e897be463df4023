"""Which models have a past, by the streams that their values are seen on; what describes them."""

import math

from django.db.models import FloatField

from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

KINDS = {
    "intval": IntegerValue,
    "floatval": FloatValue,
    "boolval": BooleanValue,
    "textval": TextValue,
}


def described_by(model):
    """Columns that say how a value is to be read: all but its key, name, value and last report."""
    other = ("id", "name", "value", "reported_at")
    return [field.column for field in model._meta.concrete_fields if field.name not in other]


def floats_of(model):
    """Columns that may hold an infinity or NaN, which JSON can't say."""
    return {one.column for one in model._meta.concrete_fields if isinstance(one, FloatField)}


def finite(value):
    """None for an infinity and NaN; anything else as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def described(kind, about):
    """What a description says, in the numbers that the value's row has.

    PostgreSQL's JSON gives large ones all their digits, with which Python takes them for others;
    SQLite's made the largest infinite, once: these are left open.
    """
    floats = floats_of(KINDS[kind])
    found = {
        column: float(value) if column in floats and isinstance(value, int) else finite(value)
        for column, value in about.items()
    }
    return {column: value for column, value in found.items() if value is not None}


def description(row):
    """What a row says of its value besides, as the triggers keep it: but what it leaves open.

    Limits that no JSON can say are left open, too.
    """
    found = {column: finite(getattr(row, column)) for column in described_by(type(row))}
    return {column: value for column, value in found.items() if value is not None}
