"""``manage.py databinding_prune``"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from databinding.conf import settings
from databinding.management import databases


class Command(BaseCommand):
    help = (
        "Drops keys from the journal that are older than DATABINDING['RETENTION'] (running "
        "servers do so by themselves). A client that was away for longer gets a snapshot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        databases.add_argument(parser)
        parser.add_argument(
            "--retention",
            type=float,
            help="Seconds to keep (default: the setting). The journal records where it stands as "
            "it is pruned, so keys can be told to be that old only if it was pruned before.",
        )

    def handle(self, *, database: str | None, retention: float | None, **options: Any) -> None:
        keep = settings.RETENTION if retention is None else retention
        for journal in databases.chosen_journals(database):
            self.stdout.write(f"{journal.alias}: {journal.prune(keep)} keys dropped.")
