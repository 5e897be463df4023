import time

from django.db import DatabaseError, InterfaceError
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from values.api.answers import HistorySerializer
from values.models import IntegerValue
from values.samples.history import history
from values.samples.kinds import KINDS

from .consumers import Demultiplexer

#: Values whose lines are drawn at the first paint; others ask for theirs when they are seen.
FIRST = 40
#: As frontend/dashboard/past.js has them.
SECONDS, POINTS = 300, 61


# The page carries rows and a cursor of this very moment, and the user's name: never from a cache.
@method_decorator(never_cache, name="dispatch")
class Dashboard(TemplateView):
    template_name = "dashboard/index.html"

    def get_context_data(self, **kwargs):
        granted = {kind: rights(kind, self.request.user) for kind in KINDS}
        every = {action for actions in granted.values() for action in actions}
        return super().get_context_data(
            **kwargs,
            rights=granted,
            may_create="create" in every,
            may_update="update" in every,
            may_delete="delete" in every,
            streams=[*KINDS, "intlimits"],
            now=time.time(),
            pasts=pasts(self.request.user),
        )


def rights(kind, user):
    """What the user may do with values of this kind."""
    binding = Demultiplexer.binding_of(kind)
    return [
        action
        for action in ("create", "update", "delete")
        if binding().has_permission(user, action, None)
    ]


def pasts(user):
    """The short pasts of the first values, in the order of their names, by kind.

    None where the database is away: the page says so itself, and asks once it is back.
    """
    try:
        return _pasts(user)
    except (DatabaseError, InterfaceError):
        return {}


def _pasts(user):
    rows = []
    for kind, model in KINDS.items():
        if kind != "textval" and Demultiplexer.binding_of(kind)().has_permission(
            user, "list", None
        ):
            names = model.objects.order_by("name").values_list("name", "pk")[:FIRST]
            rows += ((name, kind, pk) for name, pk in names)
    now = time.time()
    found = {}
    for kind in KINDS:
        keys = [pk for _, of, pk in sorted(rows)[:FIRST] if of == kind]
        if keys:
            past = history(kind, keys, now - SECONDS, now, POINTS)
            found[kind] = [HistorySerializer.of(kind, key, past[key]) for key in keys]
    return found


dashboard = Dashboard.as_view()


class ElementsView(TemplateView):
    """Each live element, with the lines that put it into a page."""

    template_name = "dashboard/elements.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(
            **kwargs, value=IntegerValue.objects.only("name", "unit").first()
        )


elements = never_cache(ElementsView.as_view())
