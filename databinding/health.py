"""For who starts, stops and balances processes: is this one alive, is it ready?

Neither view needs a login, and neither tells strangers more than a few words; the log tells
operators why. `databinding.urls` has their addresses.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from databinding.binding import aliases
from databinding.doorbell import channel_layer
from databinding.inspection import Inspection, inspect

logger = logging.getLogger("databinding")

DoorbellState = Literal["ok", "away", "unused", "none"]


@transaction.non_atomic_requests
@never_cache
@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """200 while this process answers. A process that doesn't is to be started anew.

    Asks nobody else: what ails the database isn't cured by ending this process.
    """
    return JsonResponse({"status": "ok"})


@transaction.non_atomic_requests
@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 if requests can be served here, else 503; within `databinding.inspection.PATIENCE`.

    ``status`` is ``ready``, ``degraded`` (200, too) or ``unready``. A process is unready if a
    database with bindings doesn't answer or isn't migrated. It is only degraded without the
    channel layer, since changes are found by polling then and all processes are in the same
    plight; and with triggers that are out of step, as the old processes' are for a while in every
    deployment that changes a binding.
    """
    found = await asyncio.gather(*(inspect(alias) for alias in aliases()))
    conditions = {one.condition for one in found}
    triggers_in_step = not any(one.drift for one in found)
    doorbell = doorbell_state()
    if conditions - {"ok"}:
        status = "unready"
    elif doorbell == "away" or not triggers_in_step:
        status = "degraded"
    else:
        status = "ready"
    _tell(status, found, doorbell)
    body = {
        "status": status,
        "database": next((one for one in ("away", "not migrated") if one in conditions), "ok"),
        "triggers": "ok" if triggers_in_step else "out of step",
        "doorbell": doorbell,
    }
    return JsonResponse(body, status=503 if status == "unready" else 200)


def doorbell_state() -> DoorbellState:
    """How the channel layer was when this process last used it; ``none``: there is none to use."""
    if not channel_layer.configured():
        return "none"
    carrier = channel_layer.carrier()
    if carrier.up:
        return "ok"
    return "away" if carrier.failed else "unused"


_told = "ready"


def _tell(status: str, found: list[Inspection], doorbell: DoorbellState) -> None:
    """Log a change, with what strangers aren't told."""
    global _told
    if status == _told:
        return
    _told = status
    reasons = [f"{one.alias}: {one.condition}, {one.detail}" for one in found if one.detail]
    reasons += [f"{one.alias}: triggers out of step" for one in found if one.drift]
    reasons += ["the channel layer is away"] if doorbell == "away" else []
    level = logging.INFO if status == "ready" else logging.WARNING
    logger.log(level, "This process is %s. %s", status, "; ".join(reasons))
