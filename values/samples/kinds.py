"""Which models have a past, by the streams that their values are seen on."""

from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

KINDS = {
    "intval": IntegerValue,
    "floatval": FloatValue,
    "boolval": BooleanValue,
    "textval": TextValue,
}
