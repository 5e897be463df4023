"""What can be read, but not shown: the last hour of the last year, which is another year here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField, Model
from django.utils import timezone


def can_be_shown(instance: Model, names: Iterable[Any]) -> bool:
    """Whether the admin can show these fields of a row, as far as they are fields.

    SQLite's texts, and Python, name moments that are in no year from 1 to 9999 in the current time
    zone; Django raises `OverflowError` of them wherever it shows them.
    """
    for name in names:
        try:
            field: Any = instance._meta.get_field(name) if isinstance(name, str) else None
        except FieldDoesNotExist:
            continue
        if not isinstance(field, DateTimeField):
            continue
        value: Any = getattr(instance, field.attname)
        if not isinstance(value, datetime) or timezone.is_naive(value):
            continue
        try:
            timezone.localtime(value)
        except (OverflowError, ValueError):
            return False
    return True
