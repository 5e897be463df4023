"""What is asked, of whom it may be, and what is answered."""

import re
import time

from django.http import Http404
from django.utils.cache import patch_cache_control
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import APIView

from databinding.actions import Actions
from databinding.refusals import DatabaseAway, as_api_exception
from databinding.rest.callers import KnowsCallers
from databinding.throttling import AskedView, ask, throttles_of
from databinding.websockets import scope_of_page
from values.api.answers import (
    AllSerializer,
    ChangesSerializer,
    HistoriesSerializer,
    HistorySerializer,
    as_it_stood,
    as_value,
)
from values.api.description import PastSchema
from values.api.permission import readable, seen_of, visible
from values.api.questions import (
    KEY,
    ChangesRangeSerializer,
    KeysSerializer,
    MomentSerializer,
    RangeSerializer,
)
from values.models import Sample
from values.samples.history import SOURCES, at, history, just_at, kept_since, up_to
from values.samples.kinds import KINDS
from values.samples.moments import earliest, stood


class PastView(KnowsCallers, APIView):
    """What the views of this module have in common: who may see, and what is answered."""

    schema = PastSchema()
    demultiplexer = None
    #: In the description.
    called = summary = None
    #: What of the streams' actions it is like, to their throttles. (By `action` drf-spectacular
    #: would take it for a list.)
    like = "retrieve"
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

    def seen(self, request, stream, keys):
        """Those of these values of which the user may see the past.

        Raises what the binding's `retrieve` raises, but for what isn't there; where the stream
        keeps values from this user, `Http404`.
        """
        if stream not in KINDS or self.demultiplexer.binding_of(stream) is None:
            raise Http404
        actions = self.actions(request, stream)
        found = visible(actions, stream, keys)
        if "value" not in readable(actions.binding, request.user):
            raise Http404
        return found

    def see(self, request, stream, pk):
        """The key of this value. Raises what the binding's `retrieve` raises."""
        if not re.fullmatch(KEY, pk) or not self.seen(request, stream, [int(pk)]):
            raise Http404
        return int(pk)

    def bindings(self):
        """Those of the streams that it tells of."""
        stream = self.kwargs.get("stream")
        found = (self.demultiplexer.binding_of(one) for one in KINDS if stream in (one, None))
        return [binding for binding in found if binding is not None]

    def get_throttles(self):
        """The bindings', each once: the past is asked for no more often than the present."""
        kinds = {type(one): one for binding in self.bindings() for one in throttles_of(binding)}
        return [*kinds.values()]

    def check_throttles(self, request):
        for binding in self.bindings()[:1]:
            ask(self.get_throttles(), request, AskedView(binding, self.like, self.kwargs))

    def actions(self, request, stream):
        """What this user may do on the stream."""
        groups = self.demultiplexer.groups_of_page(scope_of_page(request, {}))
        binding = self.demultiplexer.binding_of(stream)
        return Actions(binding, request.user, groups, binding.consumer())

    def handle_exception(self, exc):
        error = as_api_exception(exc) or exc
        response = super().handle_exception(error)
        if isinstance(error, DatabaseAway):
            response["Retry-After"] = "1"
        return response

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(response, private=True, no_store=True)
        return response


class HistoryView(PastView):
    """What a value was: least, most and mean of each point, and where nothing is known null."""

    called, summary = "history", "What a value was"
    query_serializer = RangeSerializer
    serializer_class = HistorySerializer

    def get(self, request, stream, pk):
        key = self.see(request, stream, pk)
        asked = self.asked(request)
        found = history(stream, [key], asked["from"], asked["to"], asked["points"])
        return Response(HistorySerializer.of(stream, key, found[key]))


class HistoriesView(PastView):
    """The same of several values, each in the same points; of those that may be seen."""

    called, summary = "histories", "What several values were"
    like = "list"
    query_serializer = KeysSerializer
    serializer_class = HistoriesSerializer

    def get(self, request, stream):
        self.seen(request, stream, [])
        asked = self.asked(request)
        seen = self.seen(request, stream, asked["pk"])
        found = history(stream, seen, asked["from"], asked["to"], asked["points"])
        answers = [HistorySerializer.of(stream, key, found[key]) for key in seen]
        return Response({"histories": answers})


class ChangesView(PastView):
    """The changes of a value one by one, as long as they are kept, the newest first."""

    called, summary = "changes", "The changes of a value"
    query_serializer = ChangesRangeSerializer
    serializer_class = ChangesSerializer

    def get(self, request, stream, pk):
        key = self.see(request, stream, pk)
        asked = self.asked(request)
        rows = Sample.objects.filter(kind=stream, key=key).order_by("-time", "-id")
        if "until" in asked:
            rows = rows.filter(up_to(at(asked["until"])))
        if "before" in asked:
            last = rows.filter(id=asked["before"]).first()
            if last is None:
                raise exceptions.ValidationError({"before": ["There is no such change any more."]})
            rows = rows.filter(up_to(last.time)).exclude(just_at(last.time), id__gte=last.id)
        named = request.user.is_staff and request.user.is_active
        answers = [
            {
                "id": row.id,
                "time": row.time,
                "value": as_value(stream, row.value),
                "who": (row.who or None) if named else None,
            }
            for row in rows[: asked["limit"]]
        ]
        return Response(ChangesSerializer({"changes": answers}).data)


class MomentView(PastView):
    """All values of all kinds as they stood at a moment, of those that may be listed."""

    called, summary = "moment", "All values as they stood at a moment"
    like = "list"
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
            values += [as_it_stood(one, names) for one in seen_of(actions, of_kind)]
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
                actions.permit("list")
            except (exceptions.NotAuthenticated, exceptions.PermissionDenied) as refused:
                refusal = refused
            else:
                found[kind] = actions
        if not found:
            raise refusal
        return found

    def names(self, request, actions):
        """What of its values the stream sends; of integers what the stream of their limits does."""
        names = readable(actions.binding, request.user)
        if actions.binding is self.demultiplexer.binding_of("intval"):
            limits = self.demultiplexer.binding_of("intlimits")
            if limits is not None and limits().has_permission(request.user, "list", None):
                names |= readable(limits, request.user)
        return names
