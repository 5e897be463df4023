"""``--database ALIAS`` of this library's commands."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from databinding import journal
from databinding.binding import aliases


def add_argument(parser: CommandParser) -> None:
    parser.add_argument("--database", help="Only this database (default: all with bindings).")


def chosen(database: str | None) -> list[str]:
    """The databases that are meant. Raises `CommandError` for one without bound models."""
    known = aliases()
    if database is not None and database not in known:
        raise CommandError(f"No bound model is on {database!r}; they are on {known}.")
    return known if database is None else [database]


def chosen_journals(database: str | None) -> list[journal.Journal]:
    """Their journals. Raises `CommandError` also where one isn't migrated."""
    found = []
    for alias in chosen(database):
        if not journal.exists(alias):
            raise CommandError(f"{alias!r} has no journal yet: run migrate first.")
        found.append(journal.open_journal(alias))
    return found
