"""What is answered of the past, in the forms that clients know."""

from rest_framework import serializers

from values.samples.kinds import KINDS, finite


class HistorySerializer(serializers.Serializer):
    """What a value was, bucket by bucket. Where nothing is known there is null."""

    pk = serializers.IntegerField()
    step = serializers.FloatField(help_text="Seconds that each point stands for.")
    source = serializers.ChoiceField(
        ["samples", "minutes", "hours"], help_text="What the points are made of."
    )
    time = serializers.ListField(
        child=serializers.FloatField(), help_text="Begins of the points, in seconds since 1970."
    )
    min = serializers.ListField(child=serializers.FloatField(allow_null=True))
    max = serializers.ListField(child=serializers.FloatField(allow_null=True))
    mean = serializers.ListField(
        child=serializers.FloatField(allow_null=True),
        help_text="Each value weighed by how long it held.",
    )
    last = serializers.ListField(
        child=serializers.JSONField(allow_null=True),
        help_text="At the end of each point: a number, true or false, or a text.",
    )
    count = serializers.ListField(child=serializers.IntegerField(), help_text="Changes.")

    @staticmethod
    def of(kind, key, past):
        return {
            "pk": key,
            "step": past.step,
            "source": past.source,
            "time": [past.begin + at * past.step for at in range(len(past.buckets))],
            "min": [finite(bucket.least) for bucket in past.buckets],
            "max": [finite(bucket.most) for bucket in past.buckets],
            "mean": [finite(bucket.mean) for bucket in past.buckets],
            "last": [as_value(kind, bucket.last) for bucket in past.buckets],
            "count": [bucket.count for bucket in past.buckets],
        }


class HistoriesSerializer(serializers.Serializer):
    histories = HistorySerializer(many=True)


class ChangeSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    time = serializers.DateTimeField()
    value = serializers.JSONField(
        allow_null=True, help_text="What it was from then on; null: nothing is known."
    )
    who = serializers.CharField(
        allow_null=True, help_text="The user's name, for staff; null: a program, or not known."
    )


class ChangesSerializer(serializers.Serializer):
    changes = ChangeSerializer(many=True, help_text="The newest first.")


class StoodSerializer(serializers.Serializer):
    stream = serializers.ChoiceField(list(KINDS))
    pk = serializers.IntegerField()
    data = serializers.DictField(
        help_text="As the stream sent it, with name and value; a value of null: nothing was known."
    )
    since = serializers.FloatField(
        allow_null=True, help_text="From when it was so, in seconds since 1970."
    )


class AllSerializer(serializers.Serializer):
    """All values as they stood at a moment, those that were deleted since among them."""

    at = serializers.FloatField(help_text="The moment, in seconds since 1970.")
    earliest = serializers.FloatField(
        allow_null=True, help_text="The first of which anything is kept; null: there is none."
    )
    source = serializers.ChoiceField(
        ["samples", "minutes", "hours"], help_text="How exactly it is known."
    )
    values = StoodSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="There are more: ask `after` this.")


def as_value(kind, value):
    """As the stream sends it; of what JSON can't say, which samples of old hold, nothing."""
    value = finite(value)
    if value is None or kind in ("floatval", "textval"):
        return value
    return bool(value) if kind == "boolval" else int(value)


def as_it_stood(one, names):
    """What is answered of a value: the data that its stream would have sent, and since when."""
    said = {name: value for name, value in one.about.items() if value != ""}
    whole = {"name": one.name, "value": as_value(one.kind, one.value), **said}
    data = {name: value for name, value in whole.items() if name in names}
    return {"stream": one.kind, "pk": one.key, "data": data, "since": one.since}
