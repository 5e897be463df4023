"""What can be read, but not shown: a moment in the year 10000, a blob where a text should be."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CharField, DateTimeField, FileField, ForeignKey, Model, TextField
from django.utils import timezone

from databinding.legible import UNREADABLE


def can_be_shown(instance: Model, names: Iterable[Any]) -> bool:
    """Whether the admin can show these fields of a row, as far as they are fields, and its name.

    SQLite's columns, and Python, hold moments that are in no year from 1 to 9999 in the current
    time zone; SQLite's hold texts as keys, and blobs as texts. Django fails where it shows them.
    """
    shown = {name for name in names if isinstance(name, str)}
    blobs = False
    for field in instance._meta.concrete_fields:
        value = instance.__dict__.get(field.attname)
        if _is_blob(field, value):
            blobs = True
            if isinstance(field, FileField) and field.name in shown:
                return False
        elif field.name in shown and not _fits(field, value):
            return False
    return not blobs or _is_named(instance)


def give_name(instance: Model) -> None:
    """Have `str` say of a row, which isn't to be saved, what can be said of it."""
    if _is_named(instance):
        return
    for field in instance._meta.concrete_fields:
        try:
            value = getattr(instance, field.attname)
        except UNREADABLE:
            setattr(instance, field.attname, None)
        else:
            if _is_blob(field, value) and isinstance(value, bytes):
                setattr(instance, field.attname, value.decode(errors="replace"))


def _is_named(instance: Model) -> bool:
    try:
        str(instance)
    except UNREADABLE:
        return False
    return True


def _is_blob(field: Any, value: Any) -> bool:
    text = isinstance(field, (CharField, TextField, FileField))
    return text and isinstance(getattr(value, "name", value), bytes)


def _fits(field: Any, value: Any) -> bool:
    try:
        if isinstance(field, DateTimeField):
            if isinstance(value, datetime) and timezone.is_aware(value):
                timezone.localtime(value)
        elif isinstance(field, ForeignKey):
            field.target_field.to_python(value)
    except (OverflowError, ValueError, ValidationError):
        return False
    return True
