"""Who may edits the values on the page itself; nothing that somebody types is lost."""

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from playwright.async_api import expect

from tests.acceptance.dashboard import (
    edit,
    hears,
    in_database,
    listen,
    open_editor,
    shows,
    shows_the_database,
    standing,
    tab_to,
    tile,
)
from values.models import IntegerValue

PASSWORD = "correct horse battery"


@pytest.fixture
def ana(transactional_db):
    """Staff who may do everything with values, and nothing else."""
    # As the server has it, too.
    password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    ana = User.objects.create(username="ana", password=password, is_staff=True)
    ana.user_permissions.set(Permission.objects.filter(content_type__app_label="values"))
    return ana


@pytest.fixture
def pump(transactional_db):
    return IntegerValue.objects.create(name="pump", value=1450)


async def test_everything_goes_by_keyboard(start_server, open_page, ana, pump):
    """Log in, edit, add, delete, log out with keys alone; a second browser sees each."""
    server = start_server("daphne")
    watcher = await open_page(server.url)
    page = await open_page(server.url)
    key = page.keyboard

    await tab_to(page, page.get_by_role("link", name="Log in"))
    await key.press("Enter")
    await expect(page.get_by_label("User name")).to_be_focused()
    await key.insert_text("ana")
    await tab_to(page, page.get_by_label("Password"))
    await key.insert_text(PASSWORD)
    await key.press("Enter")

    await expect(page.get_by_role("button", name="Log out")).to_be_visible()
    await standing(page, "live")
    await tab_to(page, tile(page, "pump").locator(".value"))
    await key.press("Enter")
    await expect(tile(page, "pump").locator("input")).to_be_focused()
    await key.insert_text("-1500")
    await key.press("Enter")
    await shows(watcher, {"pump": -1500})
    await expect(tile(page, "pump").locator(".value")).to_be_focused()

    await page.locator("[data-opens=add]").first.focus()
    await key.press("Enter")
    await expect(page.get_by_label("Name")).to_be_focused()
    await key.insert_text("valve")
    await tab_to(page, page.locator("#add-value"))  # Its kind stands in between.
    await key.insert_text("7")
    await key.press("Enter")
    await shows(watcher, {"pump": -1500, "valve": 7})
    await expect(tile(page, "valve").locator(".value")).to_be_focused()

    await tab_to(page, tile(page, "valve").locator(".remove"))
    await key.press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("Delete valve?")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await key.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    assert await in_database() == {"pump": -1500, "valve": 7}
    await expect(tile(page, "valve").locator(".remove")).to_be_focused()
    await key.press("Enter")
    await tab_to(page, page.get_by_role("button", name="Delete", exact=True))
    await key.press("Enter")
    await shows(watcher, {"pump": -1500})
    await expect(tile(page, "pump").locator(".value")).to_be_focused()

    await page.get_by_role("button", name="Log out").focus()
    await key.press("Enter")
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()
    await shows_the_database(page, watcher)


async def test_visitors_see_no_editing(start_server, open_page, pump):
    """Without an account there is nothing by which to write, but the way to log in."""
    page = await open_page(start_server().url)
    await shows(page, {"pump": 1450})
    for control in ("button.value", ".remove", ".edit", ".delete", "[data-opens=add]", "dialog"):
        await expect(page.locator(control)).to_have_count(0)
    await expect(page.get_by_role("switch")).to_have_count(0)


@pytest.mark.parametrize(("choice", "becomes"), [("Keep theirs", 1500), ("Use mine", 1480)])
async def test_two_people_edit_the_same_value(
    start_server, open_page, ana, admin_user, pump, choice, becomes
):
    """A remote change is told beside a draft and doesn't touch it; saving asks whose wins."""
    server = start_server()
    mine = await open_page(server.url, user=ana)
    theirs = await open_page(server.url, user=admin_user)
    for page in (mine, theirs):
        await standing(page, "live")
    await open_editor(mine, "pump")
    await mine.keyboard.insert_text("1480")

    await edit(theirs, "pump", "1500")
    await expect(tile(mine, "pump").locator(".note")).to_contain_text("now 1,500, was 1,450")
    draft = tile(mine, "pump").locator(".editor input")
    await expect(draft).to_have_value("1480")
    await expect(draft).to_be_focused()

    await mine.keyboard.press("Enter")
    dialog = mine.get_by_role("dialog", name="pump was changed meanwhile")
    for row in ("When you began 1,450", "Theirs, now 1,500", "Yours 1,480"):
        term, number = row.rsplit(" ", 1)
        await expect(dialog.locator("div", has_text=term)).to_contain_text(number)
    await expect(dialog.get_by_role("button", name="Keep theirs")).to_be_focused()
    await shows(mine, {"pump": 1500})
    await IntegerValue.objects.filter(pk=pump.pk).aupdate(value=1501)
    await expect(dialog.locator(".theirs-value")).to_have_text("1,501")
    await IntegerValue.objects.filter(pk=pump.pk).aupdate(value=1500)

    await mine.keyboard.press("Escape")
    await expect(tile(mine, "pump").locator(".note")).to_contain_text("Changed meanwhile")
    await expect(tile(mine, "pump").locator(".desired")).to_contain_text("1,480")
    await tab_to(mine, tile(mine, "pump").get_by_role("button", name="Resolve"))
    await mine.keyboard.press("Enter")
    if choice == "Use mine":
        await tab_to(mine, dialog.get_by_role("button", name=choice))
    await expect(dialog.get_by_role("button", name=choice)).to_be_focused()
    await mine.keyboard.press("Enter")
    await shows(mine, {"pump": becomes})
    await shows_the_database(mine, theirs)
    await expect(tile(mine, "pump").locator(".note")).to_be_hidden()
    await expect(tile(mine, "pump").locator(".value")).to_be_focused()


async def test_a_draft_outlives_the_row_and_the_server(start_server, open_page, ana, pump):
    """Neither a restart under the editor nor the value's deletion takes what was typed."""
    server = start_server()
    page = await open_page(server.url, user=ana)
    await standing(page, "live")
    await open_editor(page, "pump")
    await page.keyboard.insert_text("1480")
    draft = tile(page, "pump").locator(".editor input")

    server.kill()
    await standing(page, "reconnecting", "offline")
    await sync_to_async(server.start)()
    await standing(page, "live")
    await expect(draft).to_have_value("1480")

    await pump.adelete()
    await expect(tile(page, "pump").locator(".note")).to_contain_text("Deleted by somebody else.")
    await expect(draft).to_have_value("1480")
    await expect(draft).to_be_focused()
    await page.keyboard.press("Escape")
    await shows(page, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [("9" * 20, "too large"), ("12x", "Enter a whole number."), ("", "Enter a")],
)
async def test_what_is_no_value_is_refused(start_server, open_page, ana, pump, text, reason):
    """The page says why, keeps what was typed, and shows the number that is stored."""
    page = await open_page(start_server().url, user=ana)
    await standing(page, "live")
    await open_editor(page, "pump")
    await page.keyboard.press("Delete")
    await page.keyboard.insert_text(text)
    await page.keyboard.press("Enter")
    await expect(tile(page, "pump").locator(".note")).to_contain_text(reason)
    await shows(page, {"pump": 1450})
    again = tile(page, "pump").get_by_role("button", name="Edit again")
    if await again.is_visible():
        await again.click()
    await expect(tile(page, "pump").locator(".editor input")).to_have_value(text)
    await page.keyboard.press("Escape")
    await expect(tile(page, "pump").locator(".note")).to_be_hidden()
    await shows_the_database(page)


async def test_a_right_withdrawn_meanwhile_is_told(start_server, open_page, ana, pump):
    """The server asks anew at each write; the page says so and restores the number."""
    page = await open_page(start_server().url, user=ana)
    await standing(page, "live")
    await ana.user_permissions.aclear()
    await edit(page, "pump", "3")
    await expect(tile(page, "pump").locator(".note")).to_contain_text("permission")
    await shows_the_database(page)
    assert await in_database() == {"pump": 1450}


async def test_a_session_that_has_ended_is_told(start_server, open_page, ana, pump):
    """Who has logged out elsewhere can't write any more, and reads why."""
    # At each write it is asked who it is; looks between would end the connection before.
    unwatched = {"settings": "tests.faults.settings", "DATABINDING": '{"RIGHTS_INTERVAL": 3600}'}
    server = start_server(**unwatched)
    page = await open_page(server.url, user=ana)
    await standing(page, "live")
    await Session.objects.all().adelete()
    await edit(page, "pump", "3")
    await expect(tile(page, "pump").locator(".note")).to_contain_text("You are logged out.")
    await page.get_by_role("button", name="Add").click()
    await page.locator("#add-name").fill("valve")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("You are logged out.")
    await shows_the_database(page)
    assert await in_database() == {"pump": 1450}


async def away(server, page):
    """The server is gone, and the page has noticed."""
    await standing(page, "live")
    server.kill()
    await standing(page, "reconnecting", "offline")


async def test_what_is_done_without_a_connection_waits_for_it(start_server, open_page, ana, pump):
    """Edits, new values and deletions are shown as waiting, and done when the server is back."""
    await IntegerValue.objects.acreate(name="fan", value=2)
    server = start_server()
    page = await open_page(server.url, user=ana)
    await away(server, page)
    await listen(page)
    await edit(page, "pump", "3")
    await expect(tile(page, "pump").locator(".desired")).to_contain_text("→ 3 ◷")
    await expect(tile(page, "pump").locator(".note")).to_contain_text("Waits for the connection.")
    await hears(page, "pump: 1,450 → 3: waits for the connection.")
    await page.get_by_role("button", name="Add").first.click()
    await page.get_by_label("Name").fill("valve")
    await page.get_by_role("textbox", name="Value").fill("8")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await tile(page, "fan").locator(".remove").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    outbox = page.get_by_role("region", name="3 changes wait for the connection.")
    items = outbox.get_by_role("listitem").locator(".what")
    await expect(items).to_have_text(["pump: 1,450 → 3", "Add valve = 8", "Delete fan"])
    await shows(page, {"fan": 2, "pump": 1450})

    await sync_to_async(server.start)()
    await shows(page, {"pump": 3, "valve": 8})
    await expect(page.locator("#outbox")).to_be_hidden()
    await expect(tile(page, "pump").locator(".note")).to_be_hidden()
    await shows_the_database(page)


async def test_what_waits_can_be_taken_back(start_server, open_page, ana, pump):
    """By the tile, one by one, or all together; nothing of it is done then."""
    await IntegerValue.objects.acreate(name="fan", value=2)
    server = start_server()
    page = await open_page(server.url, user=ana)
    await away(server, page)
    for value in ("3", "4"):
        await edit(page, "pump", value)
        await expect(tile(page, "pump").locator(".desired")).to_contain_text(f"→ {value} ◷")
    await edit(page, "fan", "5")
    items = page.locator("#outbox-list li")
    await expect(items).to_have_count(2)
    await tab_to(page, tile(page, "pump").get_by_role("button", name="Discard"))
    await page.keyboard.press("Enter")
    await expect(tile(page, "pump").locator(".note")).to_be_hidden()
    await expect(tile(page, "pump").locator(".value")).to_be_focused()
    await expect(items).to_have_count(1)
    await edit(page, "pump", "6")
    await items.get_by_role("button", name="Discard: fan").click()
    await expect(tile(page, "fan").locator(".note")).to_be_hidden()
    await edit(page, "fan", "7")
    await page.get_by_role("button", name="Discard all").click()
    await expect(page.locator("#outbox")).to_be_hidden()
    await expect(tile(page, "pump").locator(".desired")).to_have_text("")
    await sync_to_async(server.start)()
    await standing(page, "live")
    await shows_the_database(page)
    assert await in_database() == {"fan": 2, "pump": 1450}


async def test_what_others_did_meanwhile_is_not_overwritten(start_server, open_page, ana, pump):
    """A late edit of what somebody else has changed is a conflict on its tile; the rest is done."""
    await IntegerValue.objects.acreate(name="fan", value=2)
    server = start_server()
    page = await open_page(server.url, user=ana)
    await away(server, page)
    await edit(page, "pump", "3")
    await edit(page, "fan", "5")
    await page.get_by_role("button", name="Add").first.click()
    await page.get_by_label("Name").fill("valve")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await IntegerValue.objects.acreate(name="valve", value=9)
    await IntegerValue.objects.filter(name="pump").aupdate(value=1500)

    await sync_to_async(server.start)()
    await shows(page, {"fan": 5, "pump": 1500, "valve": 9})
    note = tile(page, "pump").locator(".note")
    await expect(note).to_contain_text("Changed meanwhile: was 1,450, now 1,500.")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    refused = page.get_by_role("region", name="1 change was refused.")
    await expect(refused.get_by_role("listitem")).to_contain_text("already exists")
    await refused.get_by_role("button", name="Dismiss: Add valve = 0").click()
    await expect(page.locator("#outbox")).to_be_hidden()
    await note.get_by_role("button", name="Resolve").click()
    await page.get_by_role("button", name="Use mine").click()
    await shows(page, {"fan": 5, "pump": 3, "valve": 9})
    await shows_the_database(page)


async def test_a_name_that_is_taken_is_told_beside_its_field(start_server, open_page, ana, pump):
    """The dialog stays open with what was typed until it can be added."""
    page = await open_page(start_server().url, user=ana)
    await standing(page, "live")
    await page.get_by_role("button", name="Add").click()
    await page.get_by_label("Name").fill("pump")
    await page.get_by_role("textbox", name="Value").fill("8")
    await page.keyboard.press("Enter")
    await expect(page.locator("#add-name-error")).to_contain_text("already exists")
    await expect(page.get_by_label("Name")).to_be_focused()

    await page.get_by_label("Name").fill("valve")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await shows(page, {"pump": 1450, "valve": 8})
    await shows_the_database(page)
