"""Samples where triggers don't write them: by signals, and what was missed before they were there.

With ``CAPTURE = "signals"`` samples have the holes that the journal has then: what sends no signal
is no sample. `catch_up`, after every ``migrate``, makes good what is still to be seen: whatever
differs from its last sample gets one, and so does what differs from its last description.
"""

from django.db import connections, router, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from databinding.acting import acting_user
from databinding.conf import settings
from values.models import Description, Sample, Summary
from values.samples.kinds import KINDS, description

_KIND = {model: kind for kind, model in KINDS.items()}


def sample_of(kind, key, value, **fields):
    """`value` None: from now on nothing is known."""
    text = kind == "textval"
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


def saved(sender, instance, using, **kwargs):
    """Receiver of `post_save`."""
    if settings.CAPTURE != "signals":
        return
    kind = _KIND[sender]
    last = newest(kind, instance.pk).using(using).first()
    # As it was stored: what was assigned may be an expression, or not quite a number.
    value = sender.objects.using(using).filter(pk=instance.pk).values_list("value", flat=True)
    for found in value:
        sample = sample_of(kind, instance.pk, found, who=_who())
        if last is None or (last.number, last.text) != (sample.number, sample.text):
            sample.save(using=using)
    said = _newest(Description, kind, instance.pk).using(using).first()
    for row in sender.objects.using(using).filter(pk=instance.pk):
        if said is None or (said.name, said.about) != (row.name, description(row)):
            _described(kind, row).save(using=using)


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
    needed = (Sample, Description, *KINDS.values())
    if not {model._meta.db_table for model in needed} <= set(tables):
        return  # Not migrated yet, or not any more.
    for kind, model in KINDS.items():
        if router.db_for_write(model) != using or not router.allow_migrate_model(using, Sample):
            continue
        last = newest(kind, OuterRef("pk")).using(using)
        rows = model.objects.using(using).annotate(
            number=Subquery(last.values("number")[:1]), text=Subquery(last.values("text")[:1])
        )
        missing = (
            sample_of(kind, row.pk, row.value)
            for row in rows.order_by("pk").iterator(chunk_size=2_000)
            if row.value != (row.text if kind == "textval" else row.number)
        )
        # In one transaction, as poolers of transactions want it of whoever reads by a cursor.
        with transaction.atomic(using=using):
            Sample.objects.using(using).bulk_create(missing, batch_size=500)
            for rows in (_undescribed(kind, using), _gone(kind, using)):
                Description.objects.using(using).bulk_create(rows, batch_size=500)


def _undescribed(kind, using):
    """Descriptions of the values that differ from their last one.

    Who has none yet was there since its first sample, as far as anything tells.
    """
    of_value = {"kind": kind, "key": OuterRef("pk")}
    last = _newest(Description, kind, OuterRef("pk")).using(using)
    first = {
        name: Subquery(
            model.objects.using(using).filter(**of_value).order_by("time").values("time")[:1]
        )
        for name, model in (("first_sample", Sample), ("first_summary", Summary))
    }
    rows = (
        KINDS[kind]
        .objects.using(using)
        .annotate(
            described=Exists(last),
            said=Subquery(last.values("name")[:1]),
            said_about=Subquery(last.values("about")[:1]),
            **first,
        )
    )
    for row in rows.order_by("pk").iterator(chunk_size=2_000):
        if (row.said, row.said_about) != (row.name, description(row)):
            times = [] if row.described else [row.first_sample, row.first_summary]
            yield _described(kind, row, min(filter(None, times), default=None))


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
