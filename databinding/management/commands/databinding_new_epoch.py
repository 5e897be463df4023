"""``manage.py databinding_new_epoch``"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from databinding.management import databases


class Command(BaseCommand):
    help = (
        "Makes every cursor void and has running servers read all rows anew. Run it after a "
        "database was restored from a dump or replaced by a copy: its journal may be taken for "
        "the one that pages know. Harmless at any time: pages get a snapshot instead of what "
        "they missed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        databases.add_argument(parser)

    def handle(self, *, database: str | None, **options: Any) -> None:
        for journal in databases.chosen_journals(database):
            journal.new_epoch()
            self.stdout.write(f"{journal.alias}: a new epoch; pages get snapshots.")
