"""``manage.py databinding_status``"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from databinding.status import Status, status


class Command(BaseCommand):
    help = (
        "Says how live data binding is: what is wrong, first; then each database with its "
        "journal, triggers and bindings, the channel layer, and settings that aren't the "
        "default. The exit status is 1 if anything is wrong."
    )
    # It names what is wrong by itself, and goes on.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="The same for programs.")

    def handle(self, *, json: bool, **options: Any) -> None:
        found = status()
        lines = _as_json(found) if json else self._as_text(found)
        for line in lines:
            self.stdout.write(line)
        if found["problems"]:
            sys.exit(1)

    def _as_text(self, found: Status) -> Iterator[str]:
        for problem in found["problems"]:
            named = f" ({problem['id']})" if problem["id"] else ""
            yield self.style.ERROR(f"✗ {problem['message']}{named}")
            if problem["hint"]:
                yield f"  {problem['hint']}"
        if not found["problems"]:
            yield self.style.SUCCESS("Nothing is wrong.")
        for alias, database in found["databases"].items():
            yield ""
            yield self.style.MIGRATE_HEADING(f"Database {alias} ({database['vendor']})")
            yield from _database(database)
        yield ""
        yield self.style.MIGRATE_HEADING("Between processes")
        yield f"  channel layer  {_channel_layer(found['channel_layer'])}"
        if found["settings"]:
            yield ""
            yield self.style.MIGRATE_HEADING("Settings other than the default")
            for name, value in found["settings"].items():
                yield f"  {name} = {value!r}"


def _as_json(found: Status) -> Iterator[str]:
    yield json.dumps(found, indent=2, default=str)


def _database(database: dict[str, Any]) -> Iterator[str]:
    if database["condition"] != "ok":
        yield f"  {database['condition']}"
    else:
        journal, triggers = database["journal"], database["triggers"]
        ids = f", ids {journal['oldest']} to {journal['newest']}" if journal["entries"] else ""
        yield f"  journal   {journal['entries']} keys{ids}"
        yield f"            complete since {journal['complete_since'] or 'its beginning'}"
        yield f"            epoch {journal['epoch'] or 'not begun: no server has run yet'}"
        drift = [
            f"{len(names)} {kind}" for kind, names in triggers.items() if kind != "wanted" and names
        ]
        yield f"  triggers  {triggers['wanted']}, {', '.join(drift) or 'in step'}"
    for binding in database["bindings"]:
        yield f"  binding   {binding['binding']}"
        fields = binding["fields"]
        shown = fields if isinstance(fields, str) else ", ".join(fields)
        yield f"            {binding['model']} as stream {binding['stream']!r}: {shown}"
        groups = binding["groups"]
        shown = "by row" if groups is None else f"every row in {', '.join(groups) or 'none'}"
        yield f"            groups: {shown}"
        if binding["watch"]:
            yield f"            watches: {', '.join(binding['watch'])}"
        if binding["refresh_every"] is not None:
            yield f"            asked anew every {binding['refresh_every']:g} s"


def _channel_layer(layer: dict[str, Any] | None) -> str:
    if layer is None:
        return "none: other processes' commits are found by looking for them"
    reached = "reachable" if layer["reachable"] else "away"
    return f"{layer['name']}: {layer['backend']}, {reached}"
