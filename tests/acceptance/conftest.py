"""A real Chromium, one for all tests of this folder; they share the event loop it lives in."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import Client
from playwright.async_api import async_playwright, expect

from tests.servers import CHECKOUT, PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

HERE = Path(__file__).parent
#: Chromium's words for a server that is away, as some tests want it.
OUTAGE = (
    "WebSocket connection to",
    "Failed to load resource: net::ERR_CONNECTION",
    # Answers cut off: event streams, others, and those that hadn't begun.
    "Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    "Failed to load resource: net::ERR_CONTENT_LENGTH_MISMATCH",
    "Failed to load resource: net::ERR_EMPTY_RESPONSE",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.django_db(transaction=True))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium():
    """The path of the browser, made here if scripts/test hasn't."""
    script = CHECKOUT / "scripts" / "chromium"
    return os.environ.get("CHROMIUM") or subprocess.check_output([script], text=True).strip()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium):
    async with async_playwright() as playwright:
        # The machine's user may be root, and a container may lack the sandbox's system calls; only
        # our own pages are opened.
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser):
    """A function that opens an address in a browser of its own, logged in as `user` if given:
    `page = await open_page(server.url, user=staff)`. `prepare(page)` is called before it loads.
    A script error on any page fails the test; so does any other on the console that doesn't begin
    with one of `amiss`."""
    contexts, errors = [], []

    def listen(message, amiss):
        asked = message.location["url"]  # a project may do without an icon
        expected = message.text.startswith(OUTAGE + amiss) or asked.endswith("/favicon.ico")
        if message.type == "error" and not expected:
            errors.append(f"{message.page.url}: {message.text} {message.location}")

    async def open_page(url, user=None, prepare=None, amiss=(), **options):
        context = await browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        if user is not None:
            await context.add_cookies([await session_cookie(user, url)])
        page = await context.new_page()
        page.on("console", lambda message: listen(message, tuple(amiss)))
        page.on("pageerror", lambda error: errors.append(f"{page.url}: {error.stack or error}"))
        if prepare is not None:
            await prepare(page)
        await page.goto(url)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert not errors, "\n".join(errors)


@sync_to_async
def session_cookie(user, url):
    """What a browser holds after this user has logged in."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    domain = urlsplit(url).hostname
    return {"name": name, "value": client.cookies[name].value, "domain": domain, "path": "/"}
