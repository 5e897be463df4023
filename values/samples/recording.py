"""Samples where triggers don't write them: by signals, and what was missed before they were there.

With ``CAPTURE = "signals"`` samples have the holes that the journal has then: what sends no signal
is no sample. `catch_up`, after every ``migrate``, makes good what is still to be seen: whatever
differs from its last sample gets one, and so does what differs from its last description.
"""

from datetime import datetime, timedelta
from functools import partial

from django.db import connections, router, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from databinding.acting import acting_user
from databinding.conf import settings
from databinding.legible import legible
from values.models import Description, Sample, Silence, Summary
from values.samples.history import HOUR, MINUTE
from values.samples.kinds import KINDS, described, description, finite
from values.samples.silence import due
from values.samples.writing import BATCH

_KIND = {model: kind for kind, model in KINDS.items()}


def sample_of(kind, key, value, **fields):
    """`value` None, or no finite number: from now on nothing is known."""
    text = kind == "textval"
    value = finite(value)
    return Sample(
        kind=kind,
        key=key,
        time=timezone.now(),
        number=None if text or value is None else float(value),
        text=value if text else None,
        **fields,
    )


def newest(kind, key):
    """The samples of a value (`key` may be an expression), the newest first."""
    return _newest(Sample, kind, key)


def _newest(model, kind, key):
    return model.objects.filter(kind=kind, key=key).order_by("-time", "-id")


def about_to_write(sender, instance, using, **kwargs):
    """Receiver of `pre_save` and `pre_delete`: keeps a silence before the row forgets it."""
    if settings.CAPTURE != "signals":
        return
    stored = sender.objects.using(using).filter(pk=instance.pk).first()
    if stored is None:
        return
    until = timezone.now()
    # A report says itself when it was.
    if isinstance(instance.reported_at, datetime) and instance.reported_at != stored.reported_at:
        until = instance.reported_at
    if due(stored.reported_at, stored.expected_interval, until.timestamp()) is None:
        return
    since = stored.reported_at + timedelta(seconds=stored.expected_interval)
    kind = _KIND[sender]
    # Nobody has set it since, nor is that silence told.
    if not newest(kind, instance.pk).using(using).filter(time__gte=since).exists():
        unknown = sample_of(kind, instance.pk, None)
        unknown.time = since
        unknown.save(using=using)
        Silence(kind=kind, key=instance.pk, time=since, told=timezone.now()).save(using=using)


def saved(sender, instance, using, **kwargs):
    """Receiver of `post_save`."""
    if settings.CAPTURE != "signals":
        return
    kind = _KIND[sender]
    samples = newest(kind, instance.pk).using(using)
    last = samples.first()
    known = samples.exclude(number=None, text=None).first()
    said = _newest(Description, kind, instance.pk).using(using).first()
    # As it was stored: what was assigned may be an expression, or not quite a number.
    for row in sender.objects.using(using).filter(pk=instance.pk):
        sample = sample_of(kind, row.pk, row.value, who=_who())
        # Nobody has set it, and its source is still silent, of which the last sample tells.
        silent = _same(known, sample) and _silent(row)
        if not _same(last, sample) and not silent:
            sample.save(using=using)
        if said is None or not _told(kind, said.name, said.about, row):
            _described(kind, row).save(using=using)


def _same(sample, other):
    return sample is not None and (sample.number, sample.text) == (other.number, other.text)


def _silent(row):
    return due(row.reported_at, row.expected_interval, timezone.now().timestamp()) is not None


def deleted(sender, instance, using, **kwargs):
    """Receiver of `post_delete`."""
    if settings.CAPTURE == "signals":
        kind = _KIND[sender]
        sample_of(kind, instance.pk, None, who=_who()).save(using=using)
        Description(kind=kind, key=instance.pk, time=timezone.now()).save(using=using)


def _told(kind, name, about, row):
    """Does a description say what the row does? `name` None: that it was deleted."""
    return name == row.name and described(kind, about) == description(row)


def _described(kind, row, time=None):
    time = time or timezone.now()
    return Description(kind=kind, key=row.pk, time=time, name=row.name, about=description(row))


def _who():
    user = acting_user()
    return "" if user is None else user.get_username()


def catch_up(sender, using, **kwargs):
    """Receiver of `post_migrate`, after the triggers are in step."""
    tables = connections[using].introspection.table_names()
    needed = (Sample, Description, Silence, *KINDS.values())
    if not {model._meta.db_table for model in needed} <= set(tables):
        return  # Not migrated yet, or not any more.
    for kind, model in KINDS.items():
        if router.db_for_write(model) != using or not router.allow_migrate_model(using, Sample):
            continue
        for keys in _pages(model.objects.using(using), "pk"):
            _make_good(using, partial(_amiss, kind, keys, using))
        for keys in _pages(Description.objects.using(using).filter(kind=kind), "key"):
            _make_good(using, partial(_gone, kind, keys, using))


def _pages(rows, name):
    """The keys of these rows in their order, some at a time."""
    keys = rows.order_by(name).values_list(name, flat=True).distinct()
    page = list(keys[:BATCH])
    while page:
        yield page
        page = list(keys.filter(**{f"{name}__gt": page[-1]})[:BATCH])


def _make_good(using, find):
    """Write what is found: looked for once more, in the transaction that locks others out."""
    if not find():
        return
    with transaction.atomic(using=using):
        found = find()
        for model in (Sample, Description):
            rows = [one for one in found if isinstance(one, model)]
            model.objects.using(using).bulk_create(rows, batch_size=BATCH)


def _amiss(kind, keys, using):
    """Samples and descriptions of the values that differ from their last ones."""
    return [*_missing(kind, keys, using), *_undescribed(kind, keys, using)]


def _with_last(model, kind, keys, using, **columns):
    """These values, each with what its last sample or description says, and if it is `told` of.

    Of one that can't be read nothing is written down.
    """
    last = _newest(model, kind, OuterRef("pk")).using(using)
    said = {name: Subquery(last.values(column)[:1]) for name, column in columns.items()}
    rows = KINDS[kind].objects.using(using).annotate(told=Exists(last), **said)
    return legible(rows, keys)


def _missing(kind, keys, using):
    for row in _with_last(Sample, kind, keys, using, number="number", text="text"):
        sample = sample_of(kind, row.pk, row.value)
        silent = row.told and row.number is None and row.text is None and _silent(row)
        if (row.number, row.text) != (sample.number, sample.text) and not silent:
            yield sample


def _undescribed(kind, keys, using):
    """Who has none yet was there since its first sample, as far as anything tells."""
    rows = _with_last(Description, kind, keys, using, said="name", said_about="about")
    new = [row.pk for row in rows if not row.told]
    since = _first_times(kind, new, using) if new else {}
    for row in rows:
        if not row.told or not _told(kind, row.said, row.said_about, row):
            yield _described(kind, row, since.get(row.pk))


def _first_times(kind, keys, using):
    """Since when anything is kept of these values, by their keys; None: nothing is."""

    def first(model, **which):
        rows = model.objects.using(using).filter(kind=kind, key=OuterRef("pk"), **which)
        return Subquery(rows.order_by("time").values("time")[:1])

    # By width: the index of summaries has it before the time.
    firsts = [first(Sample), first(Summary, width=MINUTE), first(Summary, width=HOUR)]
    names = ("sample", "minute", "hour")
    rows = KINDS[kind].objects.using(using).filter(pk__in=keys)
    rows = rows.annotate(**dict(zip(names, firsts, strict=True)))
    return {
        pk: min(filter(None, times), default=None) for pk, *times in rows.values_list("pk", *names)
    }


def _gone(kind, keys, using):
    """Ends of the descriptions of values that aren't there any more."""
    last = _newest(Description, kind, OuterRef("key")).using(using)
    rows = Description.objects.using(using).filter(
        ~Exists(KINDS[kind].objects.using(using).filter(pk=OuterRef("key"))),
        kind=kind,
        key__in=keys,
        name__isnull=False,
        id=Subquery(last.values("id")[:1]),
    )
    return [Description(kind=kind, key=row.key, time=timezone.now()) for row in rows]
