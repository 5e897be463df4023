"""Pages under their Content Security Policy: whatever it blocks is an error on the console, which
fails a test (`open_page`)."""

import asyncio

import pytest
from asgiref.sync import sync_to_async as in_database
from playwright.async_api import expect

from values.models import IntegerValue


async def visited(page, server, *paths):
    for path in paths:
        response = await page.goto(server.url + path)
        assert response.status == 200, path
        await page.wait_for_load_state("networkidle")


async def test_the_admin_works(start_server, open_page, admin_user):
    """Lists, forms, deletions, histories and their scripts are all files of the site."""
    value = await in_database(IntegerValue.objects.create)(name="pump", value=1)
    server = await asyncio.to_thread(start_server)
    page = await open_page(server.url + "/admin/", user=admin_user)
    one = f"/admin/values/integervalue/{value.pk}"
    await visited(
        page,
        server,
        "/admin/values/integervalue/?q=pump",
        "/admin/values/integervalue/add/",
        f"{one}/history/",
        f"{one}/delete/",
        "/admin/auth/user/",
        f"/admin/auth/user/{admin_user.pk}/change/",
        "/admin/auth/group/add/",
        "/admin/password_change/",
    )
    await visited(page, server, f"{one}/change/")
    await page.fill("#id_value", "42")
    await page.click("input[name=_save]")
    await page.wait_for_selector(".success")
    await in_database(value.refresh_from_db)()
    assert value.value == 42
    # Its pickers of dates are made by scripts.
    await visited(page, server, f"/admin/auth/user/{admin_user.pk}/change/")
    await page.click("#calendarlink0")
    await expect(page.locator("#calendarbox0")).to_be_visible()


@pytest.mark.parametrize("path", ["/api/", "/api/intval/", "/api/docs/", "/accounts/login/"])
async def test_other_pages_work(path, start_server, open_page):
    """REST's pages, their documentation and the log-in load all that they need."""
    await in_database(IntegerValue.objects.create)(name="pump", value=1)
    server = await asyncio.to_thread(start_server)
    page = await open_page(server.url + path)
    await page.wait_for_load_state("networkidle")
    if path == "/api/docs/":
        await page.wait_for_selector(".opblock")


async def test_what_is_smuggled_in_does_not_run(start_server, browser):
    """A script that got into a page, however, is nothing."""
    server = await asyncio.to_thread(start_server)
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(server.url + "/accounts/login/")
    await page.evaluate(
        """() => {
          const heard = (event) => (window.blocked = event.effectiveDirective);
          addEventListener("securitypolicyviolation", heard);
          const script = document.createElement("script");
          script.textContent = "document.title = 'mine'";
          document.body.append(script);
        }"""
    )
    await page.wait_for_function("() => window.blocked")
    assert await page.evaluate("window.blocked") == "script-src-elem"
    assert await page.title() != "mine"
    await context.close()
