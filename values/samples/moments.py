"""How values stood at a moment: what they were called, what they were, and since when.

Descriptions say which values there were; samples, and summaries where those are forgotten, what
they were. Both are asked by index, once for each value: the answer costs the same for a moment of a
minute and of a year ago.
"""

from typing import NamedTuple

from django.conf import settings
from django.db.models import Min, OuterRef, Q, Subquery

from databinding.parts import parts
from values.models import Description
from values.samples.history import at, last_kept, silent, up_to
from values.samples.kinds import KINDS, described, described_by
from values.samples.spans import Known


class Stood(NamedTuple):
    """One value at a moment."""

    kind: str
    key: int
    name: str
    about: dict
    #: None: nothing was known.
    value: Known
    #: In seconds since 1970; of a summary the end.
    since: float | None

    def row(self):
        """As a row of its model, which may have been deleted."""
        model = KINDS[self.kind]
        about = {name: self.about[name] for name in described_by(model) if name in self.about}
        return model(pk=self.key, name=self.name, value=self.value, **about)


def earliest(now):
    """The first moment of which anything is kept, in seconds since 1970; None: there is none."""
    first = Description.objects.aggregate(first=Min("time"))["first"]
    return None if first is None else max(first.timestamp(), now - settings.SAMPLES["hours"])


def stood(kinds, seconds, now, limit, after=("", 0)):
    """The values of these kinds at that time, by kind and key, after this one, so many at most."""
    descriptions = _described(kinds, seconds)
    kind, key = after
    rows = descriptions.filter(Q(kind__gt=kind) | Q(kind=kind, key__gt=key))
    return _stood(rows.order_by("kind", "key")[:limit], seconds, now)


def last_forms(kind, keys):
    """What values were last, before they were deleted; of those of which anything is kept."""
    found = []
    for some in parts(keys):
        named = Description.objects.filter(kind=kind, key=OuterRef("key"), name__isnull=False)
        newest = named.order_by("-time", "-id").values("id")[:1]
        rows = Description.objects.filter(kind=kind, key__in=some, id=Subquery(newest))
        found += [
            Stood(kind, row.key, row.name, described(kind, row.about), None, None) for row in rows
        ]
    return found


def _described(kinds, seconds):
    """The descriptions that held then."""
    then = up_to(at(seconds))
    held = Description.objects.filter(then, kind=OuterRef("kind"), key=OuterRef("key"))
    newest = held.order_by("-time", "-id").values("id")[:1]
    return Description.objects.filter(then, kind__in=kinds, name__isnull=False, id=Subquery(newest))


def _stood(descriptions, seconds, now):
    rows = list(descriptions)
    last = last_kept(Description, [row.id for row in rows], seconds)
    until = _known_until(rows, now)
    found = []
    for row in rows:
        value = since = None
        if kept := last.get(row.id):
            value = kept.value
            since = kept.time.timestamp() + getattr(kept, "width", 0)
        end = until.get((row.kind, row.key))
        # Samples may tell of the silence already, and since when.
        if end is not None and end < seconds and (value is not None or since is None):
            value, since = None, end
        about = described(row.kind, row.about)
        found.append(Stood(row.kind, row.key, row.name, about, value, since))
    return found


def _known_until(rows, now):
    """Of those whose source is silent by now: until when they are known."""
    found = {}
    for kind in {row.kind for row in rows}:
        keys = [row.key for row in rows if row.kind == kind]
        for some in parts(keys):
            found |= {(kind, key): until for key, until in silent(kind, some, now).items()}
    return found
