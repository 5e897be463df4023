"""What was, by HTTP: histories and lists of changes, for whoever may see the value.

    path("api/values/", include(history_urls(Demultiplexer)))

    GET <stream>/<pk>/history/?from=…&to=…&points=…
    GET <stream>/<pk>/changes/?before=…&limit=…
    GET <stream>/history/?pk=1,2,3&from=…&to=…&points=…
    GET ?at=…&after=…&limit=…

The binding of the stream is asked as for `retrieve` and, of all values as they stood at a moment,
as for `list`: who may not see a value learns nothing of its past. One that was deleted since is for
whoever is in a group that its last form would be in.
"""

import time

from django.http import Http404
from django.urls import path
from django.utils.cache import patch_cache_control
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from databinding.actions import Actions
from databinding.binding import Binding
from databinding.refusals import as_api_exception
from databinding.websockets import scope_of_page
from values.models import Sample
from values.samples.history import SOURCES, at, history, kept_since
from values.samples.kinds import KINDS, finite
from values.samples.moments import earliest, last_form, stood

#: Points of one answer at most, of all its values together.
MOST_POINTS = 2_000
MOST_POINTS_OF_ALL = 20_000
#: Values in one answer of how all stood.
MOST_VALUES = 5_000
#: Times are dates of four digits, which every database and every client can say.
EARLIEST, LATEST = -2_000_000_000, 10_000_000_000


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
    pk = serializers.CharField(help_text="Primary keys, separated by commas.")

    def validate_pk(self, text):
        try:
            return list(dict.fromkeys(int(key) for key in text.split(",")))
        except ValueError:
            raise exceptions.ValidationError("Enter primary keys, separated by commas.") from None

    def validate(self, attrs):
        if len(attrs["pk"]) * attrs["points"] > MOST_POINTS_OF_ALL:
            most = f"At most {MOST_POINTS_OF_ALL} points of all values together."
            raise exceptions.ValidationError({"points": [most]})
        return super().validate(attrs)


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


class ChangesRangeSerializer(serializers.Serializer):
    before = serializers.IntegerField(
        required=False, min_value=1, help_text="An id: only what came before it."
    )
    until = Moment(required=False, help_text="A time: only what came until then.")
    limit = serializers.IntegerField(min_value=1, max_value=500, default=50)


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


class MomentSerializer(serializers.Serializer):
    at = Moment(required=False, help_text="ISO 8601, or seconds since 1970. Now; never later.")
    after = serializers.RegexField(
        r"^[a-z]+/\d{1,18}\Z", required=False, help_text="The `next` of the answer before."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_VALUES, default=MOST_VALUES)

    def validate_after(self, text):
        kind, key = text.split("/")
        return kind, int(key)


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


class PastView(APIView):
    """What the views of this module have in common: who may see, and what is answered."""

    schema = None  # The description is of bindings.
    demultiplexer = None
    permission_classes = ()  # The binding is asked.
    query_serializer = None

    def asked(self, request):
        """What the query says; raises `ValidationError`."""
        unknown = set(request.query_params) - set(self.query_serializer().fields) - {"format"}
        if unknown:
            raise exceptions.ValidationError(
                {name: ["There is no such parameter."] for name in unknown}
            )
        query = self.query_serializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return query.validated_data

    def see(self, request, stream, *keys):
        """Raises what the binding's `retrieve` raises of these rows."""
        if stream not in KINDS:
            raise Http404
        actions = self.actions(request, stream)
        for key in keys:
            try:
                actions.row(key)
            except Http404:
                last = last_form(stream, key)
                if last is None or not _seen(actions, [last]):
                    raise
                actions.permit("retrieve", key, last.row())

    def actions(self, request, stream):
        """What this user may do on the stream."""
        groups = self.demultiplexer.groups_of_page(scope_of_page(request, {}))
        binding = self.demultiplexer.binding_of(stream)
        return Actions(binding, request.user, groups, binding.consumer())

    def handle_exception(self, exc):
        return super().handle_exception(as_api_exception(exc) or exc)

    def get_authenticate_header(self, request):
        return super().get_authenticate_header(request) or "Session"

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        return response


class HistoryView(PastView):
    """What a value was: least, most and mean of each point, and where nothing is known null."""

    query_serializer = RangeSerializer
    serializer_class = HistorySerializer

    def get(self, request, stream, pk):
        self.see(request, stream, pk)
        asked = self.asked(request)
        found = history(stream, [pk], asked["from"], asked["to"], asked["points"])
        return Response(HistorySerializer.of(stream, pk, found[pk]))


class HistoriesView(PastView):
    """The same of several values, each in the same points; of those that may be seen."""

    query_serializer = KeysSerializer
    serializer_class = HistoriesSerializer

    def get(self, request, stream):
        self.see(request, stream)
        asked = self.asked(request)
        seen = []
        for key in asked["pk"]:
            try:
                self.see(request, stream, key)
            except Http404:
                continue
            seen.append(key)
        found = history(stream, seen, asked["from"], asked["to"], asked["points"])
        answers = [HistorySerializer.of(stream, key, found[key]) for key in seen]
        return Response({"histories": answers})


class ChangesView(PastView):
    """The changes of a value one by one, as long as they are kept, the newest first."""

    query_serializer = ChangesRangeSerializer
    serializer_class = ChangesSerializer

    def get(self, request, stream, pk):
        self.see(request, stream, pk)
        asked = self.asked(request)
        rows = Sample.objects.filter(kind=stream, key=pk).order_by("-time", "-id")
        if "until" in asked:
            rows = rows.filter(time__lte=at(asked["until"]))
        if "before" in asked:
            last = rows.filter(id=asked["before"]).first()
            if last is None:
                raise exceptions.ValidationError({"before": ["There is no such change any more."]})
            rows = rows.filter(time__lte=last.time).exclude(time=last.time, id__gte=last.id)
        named = request.user.is_staff and request.user.is_active
        answers = [
            {
                "id": row.id,
                "time": row.time,
                "value": as_value(stream, row.number if row.text is None else row.text),
                "who": (row.who or None) if named else None,
            }
            for row in rows[: asked["limit"]]
        ]
        return Response(ChangesSerializer({"changes": answers}).data)


class MomentView(PastView):
    """All values of all kinds as they stood at a moment, of those that may be listed."""

    query_serializer = MomentSerializer
    serializer_class = AllSerializer

    def get(self, request):
        asked = self.asked(request)
        now = time.time()
        moment, limit = min(asked.get("at", now), now), asked["limit"]
        first = earliest(now)
        listed = self.listed(request)
        found = []
        if first is not None and moment >= first:
            after = asked.get("after", ("", 0))
            found = stood(list(listed), moment, now, limit, after)
        values = []
        for kind, actions in listed.items():
            names = self.names(request, actions)
            of_kind = [one for one in found if one.kind == kind]
            values += [as_it_stood(one, names) for one in _seen(actions, of_kind)]
        answer = {
            "at": moment,
            "earliest": first,
            "source": SOURCES[kept_since(moment, now)],
            "values": values,
            "next": f"{found[-1].kind}/{found[-1].key}" if len(found) == limit else None,
        }
        return Response(answer)

    def listed(self, request):
        """By the kinds that this user may list, what else he may do with them.

        Raises what refuses the last, where there are none.
        """
        found, refusal = {}, Http404()
        for kind in KINDS:
            if self.demultiplexer.binding_of(kind) is None:
                continue
            actions = self.actions(request, kind)
            try:
                actions.permit("list", None)
            except (exceptions.NotAuthenticated, exceptions.PermissionDenied) as refused:
                refusal = refused
            else:
                found[kind] = actions
        if not found:
            raise refusal
        return found

    def names(self, request, actions):
        """What of its values the stream sends; of integers what the stream of their limits does."""
        names = _readable(actions.binding, request.user)
        if actions.binding is self.demultiplexer.binding_of("intval"):
            limits = self.demultiplexer.binding_of("intlimits")
            if limits is not None and limits().has_permission(request.user, "list", None):
                names |= _readable(limits, request.user)
        return names


def as_it_stood(one, names):
    """What is answered of a value: the data that its stream would have sent, and since when."""
    said = {name: value for name, value in one.about.items() if value != ""}
    whole = {"name": one.name, "value": as_value(one.kind, one.value), **said}
    data = {name: value for name, value in whole.items() if name in names}
    return {"stream": one.kind, "pk": one.key, "data": data, "since": one.since}


def _readable(binding, user):
    """Names of fields that this user is sent."""
    names = {*binding.field_names()}
    readable = binding().readable_fields(user)
    return names if readable is None else names.intersection(readable)


def _seen(actions, found):
    """Those that these groups see: by their rows or, of what was deleted, by what it was."""
    binding = actions.binding
    ask = getattr(binding.get_queryset, "__func__", binding.get_queryset)
    own = ask is not Binding.get_queryset.__func__
    groups = binding.constant_groups()
    if groups is not None and not own:
        return [] if groups.isdisjoint(actions.groups) else found
    keys = [one.key for one in found]
    seen, there = set(), set()
    for begin in range(0, len(keys), 500):
        some = {"pk__in": keys[begin : begin + 500]}
        there.update(binding.model._base_manager.filter(**some).values_list("pk", flat=True))
        rows = actions.seen().filter(**some)
        seen.update(row.pk for row in rows if not actions.groups.isdisjoint(binding.groups_of(row)))
    return [
        one
        for one in found
        if one.key in seen
        # A queryset of the binding's own can't be asked about what isn't there any more.
        or (
            (one.key not in there and not own)
            and not actions.groups.isdisjoint(binding.groups_of(one.row()))
        )
    ]


def history_urls(demultiplexer):
    """The addresses of the pasts of the values that this demultiplexer carries; to be included."""

    def view(of):
        return of.as_view(demultiplexer=demultiplexer)

    return [
        path("", view(MomentView), name="moment"),
        path("<str:stream>/history/", view(HistoriesView), name="histories"),
        path("<str:stream>/<int:pk>/history/", view(HistoryView), name="history"),
        path("<str:stream>/<int:pk>/changes/", view(ChangesView), name="changes"),
    ]
