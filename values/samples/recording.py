"""Samples where triggers don't write them: by signals, and what was missed before they were there.

With ``CAPTURE = "signals"`` samples have the holes that the journal has then: what sends no signal
is no sample. `catch_up`, after every ``migrate``, makes good what is still to be seen: whatever
differs from its last sample gets one.
"""

from django.db import connections, router, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from databinding.acting import acting_user
from databinding.conf import settings
from values.models import Sample
from values.samples.kinds import KINDS

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
    return Sample.objects.filter(kind=kind, key=key).order_by("-time", "-id")


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


def deleted(sender, instance, using, **kwargs):
    """Receiver of `post_delete`."""
    if settings.CAPTURE == "signals":
        sample_of(_KIND[sender], instance.pk, None, who=_who()).save(using=using)


def _who():
    user = acting_user()
    return "" if user is None else user.get_username()


def catch_up(sender, using, **kwargs):
    """Receiver of `post_migrate`, after the triggers are in step."""
    tables = connections[using].introspection.table_names()
    if not {model._meta.db_table for model in (Sample, *KINDS.values())} <= set(tables):
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
