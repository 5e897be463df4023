"""`/healthz` and `/readyz`: what starts, stops and balances processes is told."""

import asyncio
import json
import logging
import socket
import urllib.error
import urllib.request

import psutil
import pytest
from channels.db import database_sync_to_async as in_database
from django.core.management import call_command
from django.db import connections
from websockets.asyncio.client import connect

from databinding import health, inspection, triggers
from databinding.binding import aliases
from databinding.inspection import Inspection
from tests.databinding.clients import eventually
from tests.databinding.programs import other_program
from tests.postgresql import PostgreSQL
from tests.redis import Redis
from tests.servers import COMMANDS, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

READY = {"status": "ready", "database": "ok", "triggers": "ok", "doorbell": "none"}


@pytest.fixture(autouse=True)
def nothing_told(database, inspected_anew, monkeypatch):
    """Each test begins in a process that is ready."""
    monkeypatch.setattr(health, "_told", "ready")


def ask(url):
    """Status and JSON body."""
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def until_it_serves(server):
    """Asked for the first time a busy machine takes longer to tell than anybody waits."""
    wait_until(lambda: ask(f"{server.url}/readyz")[0] == 200)


async def readiness(async_client):
    response = await async_client.get("/readyz")
    return response.status_code, response.json()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_project_with_atomic_requests(path, async_client, monkeypatch):
    """Where every view gets a transaction, which async ones can't have, these get none."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    assert (await async_client.get(path)).status_code in (200, 404)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_server_that_can_serve_is_healthy_and_ready(start_server, kind):
    """On a migrated database a server of each kind answers 200 to strangers, uncached."""
    server = start_server(kind, settings="tests.settings")
    assert ask(f"{server.url}/healthz") == (200, {"status": "ok"})
    until_it_serves(server)
    assert ask(f"{server.url}/readyz") == (200, READY)
    with urllib.request.urlopen(f"{server.url}/readyz") as response:
        assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_a_database_that_says_nothing(start_server, kind):
    """While the database accepts and is silent, a server is healthy, and unready in bounded time;
    however many ask, they share one attempt."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgres://nobody@127.0.0.1:{port}/nothing"
        server = start_server(kind, DATABASE_URL=url, RUN_PERIODIC_JOBS="off")

        async def at_once():
            asked = [asyncio.to_thread(ask, f"{server.url}/readyz") for _ in range(10)]
            answers = asyncio.gather(*asked)
            assert await asyncio.to_thread(ask, f"{server.url}/healthz") == (200, {"status": "ok"})
            assert not answers.done()
            return await answers

        answers = asyncio.run(at_once())
        assert answers == [(503, {**READY, "status": "unready", "database": "away"})] * 10
        assert ask(f"{server.url}/readyz") == answers[0]
        opened = psutil.Process(server.process.pid).net_connections()
        assert len([one for one in opened if one.raddr and one.raddr.port == port]) == 1


def test_a_database_that_is_not_migrated(start_server, tmp_path):
    """A server without its tables is unready, and says so in two words."""
    server = start_server(DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    unready = {**READY, "status": "unready", "database": "not migrated"}
    assert ask(f"{server.url}/readyz") == (503, unready)
    assert "the journal's tables aren't there" in server.log()


async def test_a_migration_that_is_not_applied(async_client, caplog):
    """A process whose code has a migration that the database lacks isn't ready; the log names it,
    the answer doesn't."""
    other_program("UPDATE django_migrations SET app = 'gone' WHERE app = 'values'")
    try:
        status, body = await readiness(async_client)
        assert (status, body["database"]) == (503, "not migrated")
        assert "values." not in json.dumps(body)
        assert "This process is unready. default: not migrated, to be applied: values." in (
            caplog.text
        )
    finally:
        other_program("UPDATE django_migrations SET app = 'values' WHERE app = 'gone'")
    assert await readiness(async_client) == (200, READY)


async def test_a_change_is_logged_once(async_client, caplog, monkeypatch):
    """However often it is asked, what is wrong is logged when it begins and when it ends."""
    caplog.set_level(logging.INFO, "databinding")

    async def away(alias):
        return Inspection(alias, "away", "no route")

    with monkeypatch.context() as patched:
        patched.setattr(health, "inspect", away)
        for _ in range(3):
            assert (await readiness(async_client))[0] == 503
    for _ in range(3):
        assert (await readiness(async_client))[0] == 200
    said = [record.getMessage() for record in caplog.records if "process is" in record.message]
    reasons = "; ".join(f"{alias}: away, no route" for alias in aliases())
    assert said == [f"This process is unready. {reasons}", "This process is ready. "]


async def test_triggers_out_of_step_are_no_outage(async_client):
    """Without its triggers a database is reported, and the process stays in service."""
    await in_database(triggers.uninstall)("default")
    try:
        degraded = {**READY, "status": "degraded", "triggers": "out of step"}
        assert await readiness(async_client) == (200, degraded)
    finally:
        await in_database(triggers.install)("default")
    assert await readiness(async_client) == (200, READY)


async def test_redis_away_is_no_outage(start_server):
    """While Redis is away a server is degraded, and ready again when Redis is back."""
    with Redis() as redis:
        server = start_server(settings="tests.settings", **redis.environment())

        async def becomes(status, doorbell):
            serves = (200, READY | {"status": status, "doorbell": doorbell})
            await eventually(lambda: ask(f"{server.url}/readyz") == serves)

        await becomes("ready", "unused")
        async with connect(server.websocket_url + "/stream/", subprotocols=["databinding"]) as live:
            subscribe = {"action": "subscribe", "request_id": 1}
            await live.send(json.dumps({"stream": "intval", "payload": subscribe}))
            await live.recv()
            await becomes("ready", "ok")
            redis.crash()
            await becomes("degraded", "away")
            redis.start()
            await becomes("ready", "ok")


# Asking the database


def test_an_answer_is_shared_for_a_second(monkeypatch):
    """Who asks soon after another gets the same answer; later, a new one."""
    monkeypatch.setattr(inspection, "FRESH", 1000)
    first = inspection.inspect_now("default")
    assert inspection.inspect_now("default") is first
    monkeypatch.setattr(inspection, "FRESH", 0)
    assert inspection.inspect_now("default") is not first


async def test_a_question_that_hangs_is_asked_again_at_last(monkeypatch):
    """As long as a database hangs nobody asks it twice; after a while another connection is tried,
    as the first one may be dead."""
    asked = []
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(alias):
        asked.append(alias)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return Inspection(alias, "ok")

    monkeypatch.setattr(inspection, "_look", hang)
    monkeypatch.setattr(inspection, "PATIENCE", 0.05)
    for _ in range(3):
        assert (await inspection.inspect("default")).detail == "no answer within 0.05 s"
    await eventually(lambda: asked)
    assert asked == ["default"]
    monkeypatch.setattr(inspection, "GIVE_UP", 0)
    assert (await inspection.inspect("default")).condition == "away"
    await eventually(lambda: len(asked) == 2)
    release.set()
    monkeypatch.setattr(inspection, "GIVE_UP", 30)
    monkeypatch.setattr(inspection, "PATIENCE", 10)
    assert (await inspection.inspect("default")).condition == "ok"


@pytest.mark.postgresql
async def test_a_crash_of_postgresql(transactional_db, monkeypatch, async_client):
    """A process is unready while its PostgreSQL is down, and ready by itself afterwards."""
    with PostgreSQL() as postgresql:
        connections.close_all()
        monkeypatch.setitem(connections["default"].settings_dict, "HOST", str(postgresql.socket))
        monkeypatch.setitem(connections["default"].settings_dict, "NAME", "app")
        await in_database(call_command)("migrate", run_syncdb=True, verbosity=0)
        assert await readiness(async_client) == (200, READY)
        postgresql.crash()
        unready = {**READY, "status": "unready", "database": "away"}
        assert await readiness(async_client) == (503, unready)
        postgresql.start()
        assert await readiness(async_client) == (200, READY)
