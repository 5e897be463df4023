"""Samples where triggers don't write them: by signals, and what was missed before they were there.

With ``CAPTURE = "signals"`` samples have the holes that the journal has then: what sends no signal
is no sample. `catch_up`, after every ``migrate``, makes good what is still to be seen: whatever
differs from its last sample gets one, and so does what differs from its last description.
"""

from datetime import datetime, timedelta

from django.db import connections, router, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from databinding.acting import acting_user
from databinding.conf import settings
from values.models import Description, Sample, Silence, Summary
from values.samples.history import HOUR, MINUTE
from values.samples.kinds import KINDS, description, finite
from values.samples.silence import due

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
        if said is None or (said.name, said.about) != (row.name, description(row)):
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
        # In one transaction, as poolers of transactions want it of whoever reads by a cursor.
        with transaction.atomic(using=using):
            Sample.objects.using(using).bulk_create(_missing(kind, using), batch_size=500)
            for rows in (_undescribed(kind, using), _gone(kind, using)):
                Description.objects.using(using).bulk_create(rows, batch_size=500)


def _missing(kind, using):
    """Samples of the values that differ from their last one."""
    last = newest(kind, OuterRef("pk")).using(using)
    rows = (
        KINDS[kind]
        .objects.using(using)
        .annotate(
            sampled=Exists(last),
            number=Subquery(last.values("number")[:1]),
            text=Subquery(last.values("text")[:1]),
        )
    )
    for row in rows.order_by("pk").iterator(chunk_size=2_000):
        sample = sample_of(kind, row.pk, row.value)
        told = row.sampled and row.number is None and row.text is None and _silent(row)
        if (row.number, row.text) != (sample.number, sample.text) and not told:
            yield sample


def _undescribed(kind, using):
    """Descriptions of the values that differ from their last one.

    Who has none yet was there since its first sample, as far as anything tells.
    """
    last = _newest(Description, kind, OuterRef("pk")).using(using)
    rows = (
        KINDS[kind]
        .objects.using(using)
        .annotate(
            described=Exists(last),
            said=Subquery(last.values("name")[:1]),
            said_about=Subquery(last.values("about")[:1]),
        )
    )
    new = []
    for row in rows.order_by("pk").iterator(chunk_size=2_000):
        if not row.described:
            new.append(row)
        elif (row.said, row.said_about) != (row.name, description(row)):
            yield _described(kind, row)
    for begin in range(0, len(new), 500):
        some = new[begin : begin + 500]
        since = _first_times(kind, [row.pk for row in some], using)
        for row in some:
            yield _described(kind, row, since[row.pk])


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


def _gone(kind, using):
    """Ends of the descriptions of values that aren't there any more."""
    last = _newest(Description, kind, OuterRef("key")).using(using)
    rows = Description.objects.using(using).filter(
        ~Exists(KINDS[kind].objects.using(using).filter(pk=OuterRef("key"))),
        kind=kind,
        name__isnull=False,
        id=Subquery(last.values("id")[:1]),
    )
    for row in rows.order_by("key").iterator(chunk_size=2_000):
        yield Description(kind=kind, key=row.key, time=timezone.now())
