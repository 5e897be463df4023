"""The journal of changed keys: which rows changed, never what they became.

Triggers write it (or `append`, where signals capture); the relay reads it through a `Journal`.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from databinding.journal.base import Journal, Keys, State
from databinding.journal.postgresql import PostgreSQLJournal
from databinding.journal.sqlite import SQLiteJournal
from databinding.models import JournalEntry

__all__ = ["VENDORS", "Journal", "Keys", "State", "append", "exists", "open_journal"]

_JOURNALS = {"sqlite": SQLiteJournal, "postgresql": PostgreSQLJournal}

#: The databases that can have a journal, by `connection.vendor`.
VENDORS = tuple(_JOURNALS)


def open_journal(alias: str) -> Journal:
    """The journal of a database, on the calling thread's own connection."""
    vendor = connections[alias].vendor
    try:
        return _JOURNALS[vendor](alias)
    except KeyError:
        raise ImproperlyConfigured(f"There is no journal for {vendor} databases.") from None


def exists(alias: str) -> bool:
    """Are the journal's tables there (migrated)?"""
    connection = connections[alias]
    with connection.cursor() as cursor:
        return JournalEntry._meta.db_table in connection.introspection.table_names(cursor)


def append(alias: str, keys: Iterable[tuple[str, str | None]]) -> None:
    """Journal keys (model label, primary key as text) in the caller's transaction."""
    if found := list(keys):
        open_journal(alias).append(found)
