"""The same create once: what was created under a key that its client made.

A client whose answer was lost sends its create again, with the same ``idempotency_key``, and is
answered with the row that the first one made. The key is written in the transaction of the create,
so that both are there or neither; of two that come at once the second waits for the first. What is
kept are digests and the row's key, no contents, for ``IDEMPOTENCY_RETENTION`` seconds.

A key is its user's alone. Who isn't logged in shares one space with all others who aren't, so
their keys must be too long to be guessed; whoever has one gets no more by it than the row's key,
and of its data what he may see anyway.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Model
from django.utils import timezone
from rest_framework import exceptions

from databinding.bearers import name_of
from databinding.binding import Binding
from databinding.models import IdempotencyKey

#: Characters of a key.
MOST = 200
#: Characters at least, of who isn't logged in: a UUID has 36.
UNGUESSABLE = 20


class KeyReused(exceptions.APIException):
    """The key came with other data before; nothing was written."""

    status_code = 422
    default_detail = "This idempotency key was used for something else."


def claim(binding: type[Binding], user: Any, key: Any, data: Any) -> IdempotencyKey:
    """What is known under this key, or a new entry, in the transaction of the create.

    Its `key` is that of the row that was created, None for a new one. Raises `ValidationError` for
    what can't be a key, and `KeyReused`.
    """
    known = user.is_authenticated
    if not isinstance(key, str) or not (1 if known else UNGUESSABLE) <= len(key) <= MOST:
        least = 1 if known else UNGUESSABLE
        raise exceptions.ValidationError(
            {"idempotency_key": [f"A text of {least} to {MOST} characters."]}
        )
    whose = f"user {name_of(user)}" if known else ""
    name = f"{binding.__module__}.{binding.__qualname__}"
    said = dict(data) if isinstance(data, Mapping) else data
    body = _digest(said)
    keys = IdempotencyKey.objects.using(binding.alias())
    mine = IdempotencyKey(digest=_digest([name, whose, key]), body=body, created_at=timezone.now())
    # Waits for who is at it with the same key; then his is the one that is found.
    keys.bulk_create([mine], ignore_conflicts=True)
    entry = keys.get(pk=mine.pk)
    if entry.body != body:
        raise KeyReused
    return entry


def keep(binding: type[Binding], entry: IdempotencyKey, row: Model) -> None:
    """This row was created under the key."""
    text = binding.text_from_key(row.pk)
    IdempotencyKey.objects.using(binding.alias()).filter(pk=entry.pk).update(key=text)


def prune(alias: str, retention: float, most: int) -> int:
    """Forget keys older than this, so many at most; return how many."""
    keys = IdempotencyKey.objects.using(alias)
    old = keys.filter(created_at__lt=timezone.now() - timedelta(seconds=retention))
    chosen = list(old.values_list("pk", flat=True)[:most])
    return keys.filter(pk__in=chosen).delete()[0] if chosen else 0


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
