"""Which models have a past, by the streams that their values are seen on; what describes them."""

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


def description(row):
    """What a row says of its value besides, as the triggers keep it: but what it leaves open."""
    found = {column: getattr(row, column) for column in described_by(type(row))}
    return {column: value for column, value in found.items() if value is not None}
