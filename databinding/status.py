"""What `manage.py databinding_status` says: the state of everything, and what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from channels.layers import channel_layers
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from django.db import connections

from databinding import triggers
from databinding.binding import Binding, aliases, bindings_of
from databinding.conf import DEFAULTS, configured, settings
from databinding.doorbell import channel_layer
from databinding.inspection import PATIENCE, Inspection, inspect_now
from databinding.models import JournalEntry

#: Settings that are nobody's business.
SECRET = frozenset({"METRICS_TOKEN"})


class Status(TypedDict):
    """Plain values, for JSON."""

    #: What is wrong, each with ``id`` (of a system check, or None), ``message`` and ``hint``.
    problems: list[dict[str, Any]]
    #: By alias.
    databases: dict[str, dict[str, Any]]
    #: None: there is none that reaches other processes.
    channel_layer: dict[str, Any] | None
    #: Those that the project set to something else than the default.
    settings: dict[str, Any]


def status() -> Status:
    """Ask everything. Takes seconds, no more, while something is away."""
    inspections = [inspect_now(alias) for alias in aliases()]
    layer = _channel_layer()
    answering = [one.alias for one in inspections if one.condition == "ok"]
    problems = [problem for one in inspections if (problem := _problem_of(one)) is not None]
    if layer is not None and not layer["reachable"]:
        problems.append(
            {
                "id": None,
                "message": f"The channel layer {layer['name']!r} can't be reached: "
                f"{layer['error']}.",
                "hint": "Changes are still delivered, found by looking for them. Is Redis running "
                "where CHANNEL_LAYERS says?",
            }
        )
    problems += [
        {"id": one.id, "message": str(one.msg), "hint": str(one.hint or "")}
        for one in run_checks(databases=answering)
        if _ours(one)
    ]
    return Status(
        problems=problems,
        databases={one.alias: _database(one) for one in inspections},
        channel_layer=layer,
        settings={
            name: "…" if name in SECRET else value
            for name, value in configured().items()
            if name not in DEFAULTS or value != DEFAULTS[name]
        },
    )


def _ours(found: CheckMessage) -> bool:
    return (found.id or "").startswith("databinding.")


def _problem_of(found: Inspection) -> dict[str, Any] | None:
    hints = {
        "away": f"It was given {PATIENCE:g} s to answer. Is it running, are its settings right?",
        "not migrated": f"Run manage.py migrate --database {found.alias}.",
    }
    if found.condition == "ok":
        return None
    message = f"The database {found.alias!r} is {found.condition}: {found.detail}."
    return {"id": None, "message": message, "hint": hints[found.condition]}


def _database(found: Inspection) -> dict[str, Any]:
    alias = found.alias
    told: dict[str, Any] = {
        "vendor": connections[alias].vendor,
        "condition": found.condition,
        "bindings": [_binding(one) for one in bindings_of(alias)],
    }
    if found.condition == "ok":
        state = found.state
        told["journal"] = {
            "entries": JournalEntry.objects.using(alias).count(),
            "oldest": found.oldest,
            "newest": found.newest,
            "complete_since": found.since.isoformat() if found.since else None,
            "pruned": state.pruned if state else None,
            "epoch": state.epoch[:8] if state else None,
        }
        told["triggers"] = {"wanted": len(triggers.wanted(alias)), **found.drift._asdict()}
    return told


def _binding(binding: type[Binding]) -> dict[str, Any]:
    try:
        constant = binding.constant_groups()
    except NotImplementedError:  # A problem that a check names.
        constant = frozenset()
    serializer = binding.serializer_class
    return {
        "binding": f"{binding.__module__}.{binding.__qualname__}",
        "model": binding.model._meta.label,
        "stream": binding.stream,
        "fields": serializer.__qualname__ if serializer else binding.field_names(),
        # None: they depend on the row.
        "groups": None if constant is None else sorted(constant),
        "watch": [one if isinstance(one, str) else one._meta.label for one in binding.watch],
        "refresh_every": binding.refresh_every,
    }


def _channel_layer() -> dict[str, Any] | None:
    if not channel_layer.configured():
        return None
    name = settings.DOORBELL
    backend = django_settings.CHANNEL_LAYERS[name]["BACKEND"]
    error = None
    try:
        asyncio.run(_round_trip(name))
    except Exception as raised:
        error = str(raised).rstrip(".") or f"no answer within {PATIENCE:g} s"
    return {"name": name, "backend": backend, "reachable": error is None, "error": error}


async def _round_trip(name: str) -> None:
    layer = channel_layers.make_backend(name)
    async with asyncio.timeout(PATIENCE):
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "databinding.status"})
        await layer.receive(channel)
