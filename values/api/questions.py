"""What may be asked of the past, and how far: what the query says, checked."""

import time

from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions, serializers

#: Points of one answer at most, of all its values together.
MOST_POINTS = 2_000
MOST_POINTS_OF_ALL = 20_000
#: Values in one answer of how all stood.
MOST_VALUES = 5_000
#: Times are dates of four digits, which every database and every client can say.
EARLIEST, LATEST = -2_000_000_000, 10_000_000_000
#: A primary key as it is written, within what databases hold.
KEY = "[0-9]{1,18}"


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": EARLIEST, "maximum": LATEST},
        ]
    }
)
class Moment(serializers.DateTimeField):
    """ISO 8601 with a time zone, or seconds since 1970."""

    def to_internal_value(self, value):
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = super().to_internal_value(value).timestamp()
        if not EARLIEST <= seconds <= LATEST:
            raise exceptions.ValidationError("This is out of the range of times.")
        return seconds


class RangeSerializer(serializers.Serializer):
    """A stretch of time, and in how many points it is wanted."""

    to = Moment(required=False, help_text="Its end: ISO 8601, or seconds since 1970. Now.")
    points = serializers.IntegerField(min_value=1, max_value=MOST_POINTS, default=300)

    def get_fields(self):
        begin = Moment(required=False, help_text="Its begin. An hour before its end.")
        return {"from": begin, **super().get_fields()}

    def validate(self, attrs):
        attrs.setdefault("to", time.time())
        attrs.setdefault("from", attrs["to"] - 3600)
        if attrs["from"] >= attrs["to"]:
            raise exceptions.ValidationError({"from": ["This must be before its end."]})
        return attrs


class KeysSerializer(RangeSerializer):
    pk = serializers.RegexField(
        rf"^{KEY}(,{KEY})*\Z",
        help_text="Primary keys, separated by commas.",
        error_messages={"invalid": "Enter primary keys, separated by commas."},
    )

    def validate_pk(self, text):
        return list(dict.fromkeys(int(key) for key in text.split(",")))

    def validate(self, attrs):
        if len(attrs["pk"]) * attrs["points"] > MOST_POINTS_OF_ALL:
            most = f"At most {MOST_POINTS_OF_ALL} points of all values together."
            raise exceptions.ValidationError({"points": [most]})
        return super().validate(attrs)


class ChangesRangeSerializer(serializers.Serializer):
    before = serializers.IntegerField(
        required=False, min_value=1, help_text="An id: only what came before it."
    )
    until = Moment(required=False, help_text="A time: only what came until then.")
    limit = serializers.IntegerField(min_value=1, max_value=500, default=50)


class MomentSerializer(serializers.Serializer):
    at = Moment(required=False, help_text="ISO 8601, or seconds since 1970. Now; never later.")
    after = serializers.RegexField(
        rf"^[a-z]+/{KEY}\Z", required=False, help_text="The `next` of the answer before."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_VALUES, default=MOST_VALUES)

    def validate_after(self, text):
        kind, key = text.split("/")
        return kind, int(key)
