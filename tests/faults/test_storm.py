"""All clients of a server come back at once, after its restart.

FAULTS_CLIENTS=10,100,1000 python -m pytest -s tests/faults/test_storm.py     # with other numbers
"""

import asyncio
import json
import os
import resource
import time
import urllib.request

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client as Browser

from tests.faults.pages import converge, fill, open_pages
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = [int(number) for number in os.environ.get("FAULTS_CLIENTS", "10,100").split(",")]


@pytest.fixture(autouse=True)
def open_files():
    """Servers and clients may have as many open files as the system lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * max(CLIENTS) + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def queries(server):
    with urllib.request.urlopen(f"{server.url}/queries") as response:
        return json.load(response)


async def storm(server, clients, headers):
    """Restart the server under its pages; return what it asked the database until all were current.

    The seconds are those from the start of its process.
    """
    async with open_pages(server, clients, headers=headers) as pages:
        await asyncio.to_thread(server.kill)
        await in_database(IntegerValue.objects.update)(value=F("value") + 1)
        began = time.monotonic()
        await asyncio.to_thread(server.start)
        ready = time.monotonic()
        await converge(server, pages)
        done = time.monotonic()
        asked = await asyncio.to_thread(queries, server)
        assert [page.report.resumed for page in pages] == [1] * clients
    print(f"\n{clients} clients: all current {done - ready:.2f} s after it answers; {asked}")
    return asked, done - began


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_anonymous_clients_cost_no_queries(kind, start_server):
    """What the database is asked for them depends on the time that they take, not on how many."""
    await fill(50)
    server = await asyncio.to_thread(
        start_server, kind, application="tests.faults.counting:application"
    )
    for clients in CLIENTS:
        asked, seconds = await storm(server, clients, {})
        assert asked["others"] == 0
        # Half a dozen statements in a pass, twenty passes in a second.
        assert asked["relay"] < 6 * (10 + 20 * seconds)


async def test_authenticated_clients_cost_what_their_handshake_does(start_server):
    """Session and user are read for each handshake, groups and permissions for each subscription,
    and for a late one the first two once more; or of those who wait together in a few queries."""
    await fill(50)
    user = await in_database(User.objects.create_user)("somebody")
    browser = Browser()
    await in_database(browser.force_login)(user)
    headers = {"Cookie": browser.cookies.output(header="", attrs=[]).strip()}
    server = await asyncio.to_thread(start_server, application="tests.faults.counting:application")
    for clients in CLIENTS:
        asked, seconds = await storm(server, clients, headers)
        # And now and then for all of them together, whether their rights have changed.
        assert 0 < asked["others"] <= 6 * clients + 20 + 5 * seconds
