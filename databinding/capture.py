"""Django's signals: they ring the doorbell after each commit, and may journal the keys.

With ``CAPTURE = "triggers"`` the database itself journals the keys of whatever is written, and
the signals only make delivery prompt. With ``CAPTURE = "signals"``, for databases or rights
without triggers, they journal the keys, in the transaction of the change. What sends no signal is
not seen then: ``update()``, ``bulk_create()``, ``bulk_update()``, fast deletes, raw SQL and other
programs; and what was written in autocommit is lost if the process dies before its ``post_save``,
or if another receiver raises there before ours is called.

Nothing in Django is wrapped or patched.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connections
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from databinding import journal
from databinding.binding import registry
from databinding.conf import settings
from databinding.doorbell import ring_after_commit

_UID = "databinding"


def connect() -> None:
    """Listen to the signals of the bound models, and of their children and proxies.

    Not to those of all models: where anybody listens, Django deletes row by row instead of fast.
    """
    bound_labels.cache_clear()
    bound = {binding.model._meta.concrete_model for binding in registry}
    for model in apps.get_models(include_auto_created=True):
        if not bound.isdisjoint(_lineage(model)):
            post_save.connect(_changed, sender=model, dispatch_uid=_UID)
            post_delete.connect(_changed, sender=model, dispatch_uid=_UID)
    m2m_changed.connect(_related_changed, dispatch_uid=_UID)


def _lineage(model: type[Model]) -> set[type[Model] | None]:
    return {model._meta.concrete_model, *model._meta.get_parent_list()}


@cache
def bound_labels(model: type[Model], alias: str) -> tuple[str, ...]:
    """The journal's labels of the bound models whose rows a row of this model is (part of)."""
    lineage = _lineage(model)
    labels = (
        binding.concrete_label()
        for binding in registry
        if binding.model._meta.concrete_model in lineage and binding.alias() == alias
    )
    return tuple(dict.fromkeys(labels))


def _changed(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    labels = bound_labels(sender, using)
    if not labels:
        return
    if settings.CAPTURE == "signals":
        journal.append(using, [(label, _text(instance.pk, using)) for label in labels])
    ring_after_commit(using)


def _related_changed(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if not action.startswith("post_"):
        return
    owner = model if reverse else type(instance)
    labels = bound_labels(owner, using)
    if not labels:
        return
    if settings.CAPTURE == "signals":
        # Clearing from the far side doesn't say whose rows it touched: any of them.
        keys = [None] if pk_set is None and reverse else pk_set if reverse else [instance.pk]
        journal.append(
            using,
            [
                (label, None if key is None else _text(key, using))
                for label in labels
                for key in keys or ()
            ],
        )
    ring_after_commit(using)


def _text(pk: Any, using: str) -> str:
    # The form in which a trigger copies the column.
    native = connections[using].features.has_native_uuid_field
    return pk.hex if isinstance(pk, UUID) and not native else str(pk)
