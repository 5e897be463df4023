"""``manage.py databinding_prune``"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from databinding import journal
from databinding.binding import aliases
from databinding.conf import settings


class Command(BaseCommand):
    help = (
        "Drops keys from the journal that are older than DATABINDING['RETENTION'] (running "
        "servers do so by themselves). A client that was away for longer gets a snapshot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", help="Only this database (default: all with bindings).")
        parser.add_argument(
            "--retention",
            type=float,
            help="Seconds to keep (default: the setting). The journal records where it stands as "
            "it is pruned, so keys can be told to be that old only if it was pruned before.",
        )

    def handle(self, *, database: str | None, retention: float | None, **options: Any) -> None:
        known = aliases()
        if database is not None and database not in known:
            raise CommandError(f"No bound model is on {database!r}; they are on {known}.")
        keep = settings.RETENTION if retention is None else retention
        for alias in [database] if database else known:
            if not journal.exists(alias):
                raise CommandError(f"{alias!r} has no journal yet: run migrate first.")
            dropped = journal.open_journal(alias).prune(keep)
            self.stdout.write(f"{alias}: {dropped} keys dropped.")
