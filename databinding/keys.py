"""Values of key columns as the journal has them: texts of what stands in the database."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections, models
from django.utils import timezone


def column(field: Any) -> Any:
    """The field that holds the values of this one: a child's key is its parent's."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def to_text(field: Any, value: Any, alias: str) -> str:
    """The text that a trigger makes of the column's value, or one that is read as the same."""
    return str(field.get_db_prep_value(value, connections[alias]))


def from_text(field: Any, text: str, alias: str) -> Any:
    """The value that Django makes of the column's. Raises what the field does for another text."""
    field, connection = column(field), connections[alias]
    if not hasattr(field, "from_db_value"):
        return as_read(field, field.to_python(text), connection)
    # Python knows it by another form than the database, which the field makes of the plain one.
    plain = getattr(models, field.get_internal_type(), models.TextField)()
    return field.from_db_value(plain.to_python(text), None, connection)


def as_read(field: Any, value: Any, connection: Any) -> Any:
    """The value in the form in which rows have it: a key's text on the wire is made of that."""
    if isinstance(value, Decimal) and field.decimal_places is not None:
        # SQLite keeps numbers, without the zeros at their end.
        return value.quantize(Decimal(1).scaleb(-field.decimal_places), context=field.context)
    if isinstance(value, datetime) and connection.timezone is not None:
        # SQLite's texts don't say their time zone, PostgreSQL's are in that of whoever wrote.
        naive = timezone.is_naive(value)
        return (timezone.make_aware if naive else timezone.localtime)(value, connection.timezone)
    return value
