"""What happens in this process, for Prometheus. docs/reference/metrics.md explains each.

The parts that do the work count in plain numbers (`databinding.tally`); they are looked at when
somebody scrapes, and only then does `prometheus_client` come into it. Its own metrics (memory,
processor time, open files), and whatever the project registers, are served as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from databinding import hub
from databinding.binding import aliases
from databinding.conf import settings
from databinding.doorbell import channel_layer
from databinding.inspection import inspect_now
from databinding.relay import Relay, relays
from databinding.tally import LIMITS, Durations

#: Seconds after which a question to the database isn't one that is just being answered.
SLOW: Final = 1.0

Kind = Callable[..., Any]

_COUNTER: Final[Kind] = CounterMetricFamily
_GAUGE: Final[Kind] = GaugeMetricFamily
_HISTOGRAM: Final[Kind] = HistogramMetricFamily

_DATABASE = ("database",)

#: Every metric by name: kind, meaning, labels.
FAMILIES: Final[dict[str, tuple[Kind, str, Sequence[str]]]] = {
    "databinding_connections": (_GAUGE, "Open websockets and event streams.", ()),
    "databinding_connections_opened_total": (_COUNTER, "Those that were opened.", ()),
    "databinding_connections_blocked": (_GAUGE, "Those whose client doesn't read now.", ()),
    "databinding_replies_waiting": (_GAUGE, "Replies that wait for clients to read.", ()),
    "databinding_subscriptions": (_GAUGE, "Subscriptions.", ("stream",)),
    "databinding_subscriptions_held_back": (
        _GAUGE,
        "Subscriptions that wait for their client to acknowledge frames.",
        ("stream",),
    ),
    "databinding_frames_sent_total": (_COUNTER, "Frames handed to the server.", ()),
    "databinding_events_sent_total": (_COUNTER, "Events in those; snapshots' rows aside.", ()),
    "databinding_resumes_total": (_COUNTER, "Cursors, honoured or refused.", ("outcome",)),
    "databinding_snapshots_total": (_COUNTER, "Snapshots that were begun.", ()),
    "databinding_limits_total": (_COUNTER, "Limits that were overstepped, by name.", ("limit",)),
    "databinding_delivery_seconds": (_HISTOGRAM, "From a relay's news to their frames.", ()),
    "databinding_relay_running": (_GAUGE, "1 while somebody needs the relay.", _DATABASE),
    "databinding_relay_behind_seconds": (
        _GAUGE,
        "For how long the relay has had news that it couldn't deliver; 0: it has none.",
        _DATABASE,
    ),
    "databinding_relay_delay_seconds": (
        _HISTOGRAM,
        "From noticing news to handing them to the event loops.",
        _DATABASE,
    ),
    "databinding_relay_pass_seconds": (_HISTOGRAM, "How long passes took.", _DATABASE),
    "databinding_relay_last_pass_timestamp_seconds": (
        _GAUGE,
        "When the last pass ended well; 0: none did.",
        _DATABASE,
    ),
    "databinding_relay_failures_total": (_COUNTER, "Passes that failed as a whole.", _DATABASE),
    "databinding_relay_keys_read_total": (_COUNTER, "Keys read from the journal.", _DATABASE),
    "databinding_relay_refreshes_total": (
        _COUNTER,
        "Bindings whose rows were all read anew.",
        _DATABASE,
    ),
    "databinding_relay_scheduled_refresh_seconds": (
        _HISTOGRAM,
        "How long those took that refresh_every asked for.",
        _DATABASE,
    ),
    "databinding_relay_healed_rows_total": (
        _COUNTER,
        "Rows in which those found changes of which no key had told.",
        _DATABASE,
    ),
    "databinding_relay_owed_rows": (_GAUGE, "Rows that can't be read or rendered.", _DATABASE),
    "databinding_relay_rows": (_GAUGE, "Rows held in memory.", _DATABASE),
    "databinding_doorbell_up": (_GAUGE, "1 if the channel layer took or brought the last.", ()),
    "databinding_doorbell_rung_total": (_COUNTER, "Rings that the layer took.", ()),
    "databinding_doorbell_heard_total": (_COUNTER, "Rings that the layer brought.", ()),
    "databinding_doorbell_failures_total": (_COUNTER, "Failures of the channel layer.", ()),
    "databinding_database_up": (_GAUGE, "1 if the database answers and is migrated.", _DATABASE),
    "databinding_journal_entries": (_GAUGE, "Keys in the journal, at most.", _DATABASE),
    "databinding_journal_kept_seconds": (
        _GAUGE,
        "For how long back the journal tells everything.",
        _DATABASE,
    ),
    "databinding_triggers_out_of_step": (
        _GAUGE,
        "Triggers that are missing, differ, or shouldn't be there.",
        _DATABASE,
    ),
}


@transaction.non_atomic_requests
@never_cache
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """What Prometheus scrapes, for who brings the token; without one set, for nobody."""
    token = settings.METRICS_TOKEN
    if not token:
        return HttpResponseNotFound("No METRICS_TOKEN is set.", content_type="text/plain")
    if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        return HttpResponse(
            "Bring the token: Authorization: Bearer …",
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
            content_type="text/plain; charset=utf-8",
        )
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    text = await asyncio.to_thread(encode, REGISTRY)
    return HttpResponse(text, content_type=content_type)


class DatabindingCollector(Collector):
    """Looks at this process's relays, websockets and databases; registered with `REGISTRY`."""

    def describe(self) -> Iterator[Metric]:
        yield from _Families().made.values()

    def collect(self) -> Iterator[Metric]:
        found = _Families()
        _websockets(found)
        _relays(found)
        _doorbell(found)
        _databases(found)
        yield from found.made.values()


class _Families:
    def __init__(self) -> None:
        self.made: dict[str, Any] = {
            name: kind(name, meaning, labels=labels)
            for name, (kind, meaning, labels) in FAMILIES.items()
        }

    def add(self, name: str, value: float, *labels: str) -> None:
        self.made[f"databinding_{name}"].add_metric(labels, value)

    def add_durations(self, name: str, durations: Sequence[Durations], *labels: str) -> None:
        buckets, below = [], 0
        for place, bound in enumerate((*map(str, Durations.BOUNDS), "+Inf")):
            below += sum(one.counts[place] for one in durations)
            buckets.append((bound, below))
        seconds = sum(one.seconds for one in durations)
        self.made[f"databinding_{name}"].add_metric(labels, buckets, seconds)


def _websockets(found: _Families) -> None:
    hubs, tallies = hub.hubs(), hub.tallies()
    connections = [connection for one in hubs for connection in one.connections()]
    subscriptions = [subscription for one in hubs for subscription in one.subscriptions()]
    found.add("connections", len(connections))
    found.add("connections_blocked", sum(one.blocked for one in connections))
    found.add("replies_waiting", sum(one.waiting for one in connections))
    for stream in sorted({one.stream for one in subscriptions}):
        those = [one for one in subscriptions if one.stream == stream]
        found.add("subscriptions", len(those), stream)
        found.add("subscriptions_held_back", sum(one.held_back for one in those), stream)
    found.add("connections_opened_total", sum(one.connections for one in tallies))
    found.add("frames_sent_total", sum(one.frames for one in tallies))
    found.add("events_sent_total", sum(one.events for one in tallies))
    found.add("resumes_total", sum(one.resumed for one in tallies), "honoured")
    found.add("resumes_total", sum(one.refused for one in tallies), "refused")
    found.add("snapshots_total", sum(one.snapshots for one in tallies))
    for limit in LIMITS:
        found.add("limits_total", sum(one.limits[limit] for one in tallies), limit)
    found.add_durations("delivery_seconds", [one.deliveries for one in tallies])


def _relays(found: _Families) -> None:
    for relay in relays():
        alias, tally = relay.alias, relay.tally
        found.add("relay_running", relay.running, alias)
        found.add("relay_behind_seconds", behind(relay), alias)
        found.add("relay_last_pass_timestamp_seconds", tally.last_pass, alias)
        found.add("relay_failures_total", tally.failures, alias)
        found.add("relay_keys_read_total", tally.keys, alias)
        found.add("relay_refreshes_total", tally.refreshes, alias)
        found.add_durations("relay_scheduled_refresh_seconds", [tally.scheduled], alias)
        found.add("relay_healed_rows_total", tally.healed, alias)
        found.add("relay_owed_rows", tally.owed, alias)
        held = list(relay.holdings.rows.values())
        found.add("relay_rows", sum(len(rows.fragments) for rows in held), alias)
        found.add_durations("relay_delay_seconds", [tally.delays], alias)
        found.add_durations("relay_pass_seconds", [tally.durations], alias)


def behind(relay: Relay) -> float:
    """For how long it has had news; or has waited for the database to say whether there are any,
    if that isn't only the moment that any question takes."""
    tally = relay.tally
    times = [tally.behind_since]
    if relay.hangs(SLOW):
        times.append(tally.asking_since)
    return max((time.monotonic() - since for since in times if since is not None), default=0.0)


def _doorbell(found: _Families) -> None:
    if channel_layer.configured():
        carrier = channel_layer.carrier()
        found.add("doorbell_up", carrier.up)
        found.add("doorbell_rung_total", carrier.rung)
        found.add("doorbell_heard_total", carrier.heard)
        found.add("doorbell_failures_total", carrier.failed)


def _databases(found: _Families) -> None:
    for alias in aliases():
        seen = inspect_now(alias)
        found.add("database_up", seen.condition == "ok", alias)
        if seen.condition == "ok":
            found.add("journal_entries", seen.entries, alias)
            found.add("triggers_out_of_step", sum(map(len, seen.drift)), alias)
            if seen.since is not None:
                kept = (timezone.now() - seen.since).total_seconds()
                found.add("journal_kept_seconds", kept, alias)


REGISTRY.register(DatabindingCollector())
