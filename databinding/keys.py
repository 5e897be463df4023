"""Values of key columns as the journal has them: texts of what stands in the database."""

from __future__ import annotations

from typing import Any

from django.db import connections, models


def to_text(field: Any, value: Any, alias: str) -> str:
    """The text that a trigger makes of the column's value, or one that is read as the same."""
    return str(field.get_db_prep_value(value, connections[alias]))


def from_text(field: Any, text: str, alias: str) -> Any:
    """The value that Django makes of the column's. Raises what the field does for another text."""
    while field.remote_field is not None:
        field = field.target_field
    if not hasattr(field, "from_db_value"):
        return field.to_python(text)
    # Python knows it by another form than the database, which the field makes of the plain one.
    plain = getattr(models, field.get_internal_type(), models.TextField)()
    return field.from_db_value(plain.to_python(text), None, connections[alias])
