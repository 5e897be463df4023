"""The REST resources in a browser: pages with forms, and the page that describes them."""

from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from playwright.async_api import expect

from tests.acceptance.dashboard import shows, tile
from values.models import IntegerValue


async def test_rows_are_written_by_forms(start_server, open_page):
    """From the dashboard to the list, a row made and changed there; the dashboard shows each."""
    staff = await in_database(User.objects.create_superuser)("staff")
    server = start_server("uvicorn")
    page = await open_page(server.url, user=staff)
    rest = await open_page(server.url, user=staff)
    await rest.click("text=REST")
    await rest.click("text=/api/intval/")
    await rest.fill("form [name=name]", "tank.level")
    await rest.fill("form [name=value]", "17")
    await rest.click("button:text('POST')")
    await expect(rest.locator(".response-info")).to_contain_text("201 Created")
    await shows(page, {"tank.level": 17})

    row = await in_database(IntegerValue.objects.get)()
    address = f"{server.url}/api/intval/{row.pk}/"
    await rest.goto(address)
    await rest.fill("form [name=value]", "18")
    await rest.click("button:text('PUT')")
    await shows(page, {"tank.level": 18})
    # The dashboard has the change before this page has its answer, which takes the document's place
    # and whatever was opened in it; its scripts run later still. So a page that is loaded.
    await expect(rest.locator(".request-info")).to_contain_text("PUT")
    await rest.goto(address)
    await rest.click("button:text('DELETE') >> visible=true")
    await rest.click("#deleteModal button:text('DELETE')")
    await expect(tile(page, "tank.level")).to_have_count(0)


async def test_the_description_can_be_read_and_tried(start_server, open_page):
    """Its page is made of the description, by scripts of this server, and asks it at a click."""
    await in_database(IntegerValue.objects.create)(name="pump", value=1450)
    server = start_server("uvicorn")
    asked = set()

    async def listen(page):
        page.on("request", lambda request: asked.add(request.url.split("/")[2]))

    page = await open_page(f"{server.url}/api/docs/", prepare=listen)
    await page.click("#operations-intval-intval_list .opblock-summary-control")
    await page.click("text=Try it out")
    await page.click("button:text('Execute')")
    answer = page.locator(".live-responses-table .response .response-col_description")
    await expect(answer).to_contain_text('"pump"')
    assert asked == {server.url.removeprefix("http://")}


async def test_its_pages_fit_a_phone(start_server, open_page):
    """A row's page is as wide as the phone, where its values and its form can be read."""
    row = await in_database(IntegerValue.objects.create)(name="pump", value=1450)
    staff = await in_database(User.objects.create_superuser)("staff")
    viewport = {"width": 360, "height": 800}
    address = f"{start_server('uvicorn').url}/api/intval/{row.pk}/"
    page = await open_page(address, user=staff, viewport=viewport, is_mobile=True, has_touch=True)
    await expect(page.locator("form [name=value]")).to_be_visible()
    assert await page.evaluate("() => document.documentElement.scrollWidth") == 360
