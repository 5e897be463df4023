"""``manage.py databinding_touch``"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from databinding.touching import touch


class Command(BaseCommand):
    help = (
        "Has pages ask for rows anew, after a write that nothing saw (past the triggers, or with "
        "DATABINDING['CAPTURE'] = 'signals'). What differs is sent, no more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="As app.Model; bound, or watched by a binding.")
        parser.add_argument("pk", nargs="*", help="Primary keys of rows (default: any row).")

    def handle(self, *, model: str, pk: list[str], **options: Any) -> None:
        try:
            found = apps.get_model(model)
        except (LookupError, ValueError):
            raise CommandError(f"There is no model {model!r}; name it as app.Model.") from None
        try:
            touch(found, *pk)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except ValueError as error:
            raise CommandError(str(error)) from None
        rows = "any row" if not pk else f"{len(pk)} row{'s'[: len(pk) != 1]}"
        self.stdout.write(f"{found._meta.label}: {rows}.")
