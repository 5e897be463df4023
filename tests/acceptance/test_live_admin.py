"""The live admin in a browser: lists and forms that show what others do, and never lose a draft."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from playwright.async_api import expect

from tests.acceptance import axe
from tests.acceptance.dashboard import saw, tab_to, until, watch
from tests.office.models import Person, Task

LIST = "/admin/office/task/"
#: What Django's own pages have that axe doesn't like.
DJANGOS_OWN = [
    ".breadcrumbs",
    "#changelist-filter",
    ".help-tooltip",
    ".original",
    ".vDateField",
    ".vTimeField",
]
#: The rows' cells without what the library adds.
CELLS = """() => [...document.querySelectorAll("#result_list tbody tr")].map((row) =>
  [...row.cells].map((cell) => {
    const control = cell.querySelector("input, select");
    const shown = control && (control.type === "checkbox" ? control.checked : control.value);
    return [shown ?? cell.innerHTML, cell.className.replace("live-changed", "").trim()];
  }))"""


#: Has the page asked for what it shows once it was live, and been answered?
ASKED = """() => performance.getEntriesByType("resource").some(({ initiatorType, responseEnd }) =>
  initiatorType === "fetch" && responseEnd > 0)"""


@pytest.fixture
def ana(transactional_db):
    return User.objects.create_superuser("ana", first_name="Ana")


@pytest.fixture
def bo(transactional_db):
    return User.objects.create_superuser("bo", first_name="Bo")


@pytest.fixture
def tasks(transactional_db):
    people = [Person.objects.create(name=name) for name in ("Cy", "Di")]
    return [
        Task.objects.create(title=title, hours=hours, owner=people[hours % 2])
        for hours, title in enumerate(["file", "paint", "sand", "weld"])
    ]


@pytest.fixture
def server(start_server):
    return start_server(settings="tests.office.settings")


@pytest.fixture
def open_admin(server, open_page):
    async def open_admin(path, user, **options):
        page = await open_page(server.url + path, user=user, **options)
        await live(page)
        return page

    return open_admin


async def live(page):
    await page.wait_for_function("() => document.body.dataset.live === 'live'")


@sync_to_async
def update(title, /, **values):
    return Task.objects.filter(title=title).update(**values)


def row(page, title):
    return page.locator("#result_list tbody tr").filter(has=page.get_by_text(title, exact=True))


def control(page, title, field):
    return row(page, title).locator(f"[name$=-{field}]")


def news(page):
    return page.locator(".live-news")


async def test_a_list_shows_what_a_reload_would(open_admin, ana, tasks):
    """Cells of every kind follow a bulk statement: links, icons, choices, empty values, inputs."""
    page = await open_admin(LIST, ana)
    await update("paint", notes="soon", done=True, priority=2, hours=None, owner=None)
    await update("sand", title="SAND")
    await expect(control(page, "paint", "done")).to_be_checked()
    await expect(row(page, "paint").get_by_role("link", name="soon")).to_be_visible()
    await expect(row(page, "SAND")).to_have_count(1)
    shown = await page.evaluate(CELLS)
    await page.reload()
    await live(page)
    # The list is ordered by title, and was not sorted anew under the cursor.
    assert sorted(shown) == sorted(await page.evaluate(CELLS))


async def test_those_that_come_and_go_are_applied_on_request(open_admin, ana, tasks):
    """New rows, leavers and deleted ones are announced; the list stays until it is asked to."""
    page = await open_admin(LIST + "?done__exact=0", ana)
    await update("paint", done=True)
    await sync_to_async(Task.objects.filter(title="weld").delete)()
    await sync_to_async(Task.objects.create)(title="a new one")
    await expect(news(page)).to_have_text("1 new, 1 left the filter, 1 deleted")
    await expect(row(page, "paint")).to_contain_text("left the filter")
    await expect(row(page, "weld")).to_contain_text("deleted")
    await expect(page.locator("#result_list tbody tr")).to_have_count(4)
    await update("paint", done=False)
    await expect(news(page)).to_have_text("1 new, 1 deleted")
    await expect(row(page, "paint")).not_to_contain_text("left the filter")

    await tab_to(page, page.get_by_role("button", name="Apply"))
    await page.keyboard.press("Enter")
    await expect(news(page)).to_have_text("Applied: this is the list as it is now.")
    await expect(page.locator("#result_list tbody th a")).to_have_text(
        ["a new one", "file", "paint", "sand"]
    )
    await expect(page.locator("#result_list")).to_be_focused()


async def test_a_draft_in_a_list_is_left_alone(open_admin, ana, tasks):
    """The cell says what it is by now; saving asks, and what was undone follows again."""
    page = await open_admin(LIST, ana)
    await control(page, "paint", "hours").fill("9")
    await update("paint", hours=5, done=True)
    mark = row(page, "paint").locator(".live-mark").filter(has_text="now 5.00")
    await expect(mark).to_be_visible()
    await expect(control(page, "paint", "hours")).to_have_value("9")
    await control(page, "paint", "hours").fill("1.00")
    await expect(control(page, "paint", "hours")).to_have_value("5.00")
    await expect(control(page, "paint", "done")).to_be_checked()
    await expect(mark).to_have_count(0)

    # It has followed, so what is typed now is an edit of the newest.
    await control(page, "paint", "hours").fill("6")
    await page.click("[name=_save]")
    await expect(page.locator(".messagelist")).to_contain_text("1 task was changed")
    assert (await Task.objects.aget(title="paint")).hours == 6


async def test_a_conflict_in_a_list_by_keyboard(open_admin, ana, tasks):
    """The question stands in the cell, and keys alone answer it."""
    page = await open_admin(LIST, ana, bypass_csp=True)
    await control(page, "paint", "hours").fill("9")
    await update("paint", hours=5)
    await expect(row(page, "paint").locator(".live-mark")).to_contain_text("now 5.00")
    await page.get_by_role("button", name="Save").press("Enter")
    question = row(page, "paint").get_by_role("group", name="Hours")
    await expect(question).to_contain_text("Before")
    assert await axe.violations(page, without=DJANGOS_OWN) == []
    await control(page, "paint", "priority").focus()
    await tab_to(page, question.get_by_label("Keep theirs"))
    await page.keyboard.press("ArrowDown")
    await expect(question.get_by_label("Use yours")).to_be_checked()
    await page.get_by_role("button", name="Save").press("Enter")
    await expect(page.locator(".messagelist")).to_contain_text("1 task was changed")
    assert (await Task.objects.aget(title="paint")).hours == 9


async def test_who_is_in_which_row(open_admin, ana, bo, tasks):
    """Another's open form, and the row of a list in which another is, carry their name."""
    page = await open_admin(LIST, ana)
    theirs = await open_admin(f"{LIST}{tasks[1].pk}/change/", bo)
    await expect(row(page, "paint").locator(".live-here")).to_have_text("Bo")
    await expect(page.locator(".live-people")).to_have_text("Bo")
    await theirs.goto(theirs.url.replace(f"{tasks[1].pk}/change/", ""))
    await live(theirs)
    await expect(row(page, "paint").locator(".live-here")).to_have_count(0)
    await control(theirs, "sand", "hours").focus()
    await expect(row(page, "sand").locator(".live-here")).to_have_text("Bo")
    await theirs.close()
    await expect(page.locator(".live-people")).to_be_hidden()


async def test_a_form_says_what_others_change(open_admin, ana, tasks):
    """A draft and an untouched field are each said what saving would do, and not touched."""
    page = await open_admin(f"{LIST}{tasks[1].pk}/change/", ana, bypass_csp=True)
    await page.fill("#id_hours", "9")
    await update("paint", hours=5, notes="soon")
    hours, notes = page.locator(".field-hours"), page.locator(".field-notes")
    await expect(hours.locator(".live-mark")).to_have_text(
        "▲ Changed by others: now 5.00. Saving asks which to keep."
    )
    await expect(notes.locator(".live-mark")).to_have_text(
        "▲ Changed by others: now soon. Saving keeps that, unless you edit it."
    )
    await expect(news(page)).to_have_text("Changed by others: Notes, Hours")
    await expect(page.locator("#id_hours")).to_have_value("9")
    assert await axe.violations(page, without=DJANGOS_OWN) == []
    await update("paint", notes="")
    await expect(notes.locator(".live-mark")).to_have_count(0)


async def test_an_answer_that_comes_late_is_not_taken_for_the_newest(open_admin, ana, tasks):
    """Of a form that was asked for twice the later answer counts, in whatever order they come."""
    page = await open_admin(f"{LIST}{tasks[1].pk}/change/", ana, bypass_csp=True)
    early, newest, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(route):
        if early.is_set():
            await route.continue_()
            return
        answer = await route.fetch()
        early.set()
        await newest.wait()
        await route.fulfill(response=answer)
        told.set()

    await page.wait_for_function(ASKED)
    await page.route(page.url, late)
    await update("paint", hours=5)
    await early.wait()
    await update("paint", hours=6)
    mark = page.locator(".field-hours .live-mark")
    await expect(mark).to_contain_text("now 6.00")
    await watch(
        page,
        """() => !/now [67].00/.test(
          document.querySelector(".field-hours .live-mark")?.textContent)""",
    )
    newest.set()
    await told.wait()
    await update("paint", hours=7)  # What is asked now is answered after it.
    await expect(mark).to_contain_text("now 7.00")
    assert not await page.evaluate("window.seen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_conflict_by_keyboard(open_admin, ana, bo, tasks, scheme):
    """Save, read the question, choose, save: with keys alone, in both themes."""
    url = f"{LIST}{tasks[1].pk}/change/"
    page = await open_admin(url, ana, color_scheme=scheme, bypass_csp=True)
    theirs = await open_admin(url, bo)
    await expect(page.locator(".live-people")).to_have_text("Bo")
    await page.fill("#id_hours", "9")
    await theirs.fill("#id_hours", "5")
    await theirs.fill("#id_notes", "by Bo")
    await theirs.click("[name=_continue]")
    await expect(page.locator(".field-hours .live-mark")).to_contain_text("now 5.00")
    await page.press("#id_hours", "Enter")
    question = page.get_by_role("group", name="Hours")
    await expect(question).to_be_visible()
    await expect(page.locator("#content")).to_contain_text("bo saved this while you were editing")
    await expect(page.locator("#id_notes")).to_have_value("by Bo")
    await live(page)
    assert await axe.violations(page, without=DJANGOS_OWN) == []
    await tab_to(page, page.get_by_role("link", name="Skip to main content"))
    await page.keyboard.press("Enter")
    await tab_to(page, question.get_by_label("Keep theirs"))
    await page.keyboard.press("Space")
    await page.press("#id_hours", "Enter")
    await expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    saved = await Task.objects.aget(title="paint")
    assert (saved.hours, saved.notes) == (5, "by Bo")


async def test_without_scripts_a_save_asks_too(server, open_page, ana, tasks):
    """The server asks, in the page that any browser shows."""
    page = await open_page(
        f"{server.url}{LIST}{tasks[1].pk}/change/", user=ana, java_script_enabled=False
    )
    await page.fill("#id_hours", "9")
    await update("paint", hours=5)
    await page.click("[name=_save]")
    await page.get_by_label("Use yours").check()
    await page.click("[name=_save]")
    await expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert (await Task.objects.aget(title="paint")).hours == 9


async def test_a_deleted_row_says_so_in_its_form(open_admin, ana, tasks):
    """Whoever edits a row that is gone learns it before saving."""
    page = await open_admin(f"{LIST}{tasks[1].pk}/change/", ana)
    await sync_to_async(tasks[1].delete)()
    await expect(news(page)).to_contain_text("Deleted by others")


async def test_users(open_admin, ana, bo):
    """auth.User's admin is live without its model being touched, groups included."""
    page = await open_admin("/admin/auth/user/", ana)
    form = await open_admin(f"/admin/auth/user/{bo.pk}/change/", ana)
    await sync_to_async(User.objects.filter(pk=bo.pk).update)(email="bo@example.com")
    await expect(page.locator(".field-email").filter(has_text="bo@example.com")).to_be_visible()
    await expect(form.locator(".field-email .live-mark")).to_contain_text("bo@example.com")


async def test_an_outage_is_said_and_made_good(server, open_admin, ana, tasks):
    """While the server is away the list says that it may be old; then it catches up."""
    page = await open_admin(LIST, ana)
    server.kill()
    await expect(page.locator(".live-status")).to_contain_text("may be old")
    await update("paint", hours=7)
    await sync_to_async(server.start)()
    await expect(control(page, "paint", "hours")).to_have_value("7.00")
    await live(page)


async def test_who_may_not_see_the_list_learns_nothing(server, open_page, open_admin, ana, tasks):
    """The stream asks the admin's own permission; a row that get_queryset hides isn't rendered."""
    bo = await sync_to_async(User.objects.create_user)("bo", is_staff=True)
    permission = await Permission.objects.aget(
        content_type__app_label="office", codename="view_person"
    )
    await bo.user_permissions.aadd(permission)
    page = await open_page(server.url + "/admin/office/person/", user=bo)
    said = await page.evaluate(
        """async () => {
          const { connect } = await import("/static/databinding/index.js");
          const live = connect("/admin/live/");
          live.on("error", () => {});
          const stream = live.stream("admin:office.task");
          return new Promise((resolve) =>
            stream.on("state", ({ error }) => error && resolve(error.status)));
        }"""
    )
    assert said == 403

    page = await open_admin(LIST, ana)
    hidden = await sync_to_async(Task.objects.create)(title="secret")
    await update("paint", hours=7)
    await expect(control(page, "paint", "hours")).to_have_value("7.00")
    await expect(news(page)).to_have_text("")
    answer = await page.evaluate(
        """async (pk) => {
          const { ask } = await import("/static/databinding/admin/ask.js");
          const form = document.querySelector("#changelist-form");
          return ask("/admin/office/task/live/", form, { pks: [pk] });
        }""",
        str(hidden.pk),
    )
    assert (answer["pks"], answer["left"]) == ([], [])


@sync_to_async
def permitted(user, *codenames):
    permissions = Permission.objects.filter(content_type__app_label="office")
    user.user_permissions.set(permissions.filter(codename__in=codenames))


@sync_to_async
def deactivated(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


@pytest.mark.parametrize(
    ("withdraw", "said"),
    [
        (permitted, "No permission. Reload the page to see what you may."),
        (deactivated, "Logged out. Reload the page to log in again."),
    ],
    ids=["permission", "account"],
)
async def test_rights_withdrawn_while_a_page_is_open(open_admin, ana, tasks, withdraw, said):
    """List and form say at their tops that they are no longer live, and are told nothing more. Rows
    are shown no longer; a form is, with what was typed into it."""
    cy = await sync_to_async(User.objects.create_user)("cy", is_staff=True)
    await permitted(cy, "view_task", "change_task")
    theirs = await open_admin(LIST, ana)
    page = await open_admin(LIST, cy)
    form = await open_admin(f"{LIST}{tasks[1].pk}/change/", cy)
    asked = []
    for one in (page, form):
        await one.wait_for_function(ASKED)
        one.on("request", lambda request: asked.append(request.url))
    await withdraw(cy)
    for one in (page, form):
        await expect(one.locator(".live-status")).to_contain_text(said)
    await expect(page.locator("#result_list")).to_be_hidden()
    await expect(form.locator("[name=title]")).to_be_visible()
    await update("paint", hours=7)
    await sync_to_async(Task.objects.create)(title="a new one")
    await expect(control(theirs, "paint", "hours")).to_have_value("7.00")
    await expect(news(theirs)).to_have_text("1 new")
    await expect(control(page, "paint", "hours")).to_have_value("1.00")
    for one in (page, form):
        await expect(news(one)).to_have_text("")
    assert asked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_lists_are_accessible(open_admin, ana, bo, tasks, scheme):
    """axe finds nothing wrong with a list that has news, people and leavers."""
    page = await open_admin(LIST + "?done__exact=0", ana, color_scheme=scheme, bypass_csp=True)
    await open_admin(f"{LIST}{tasks[0].pk}/change/", bo)
    await update("paint", done=True)
    await expect(news(page)).to_have_text("1 left the filter")
    await expect(row(page, "file").locator(".live-here")).to_be_visible()
    assert await axe.violations(page, without=DJANGOS_OWN) == []


async def test_a_phone_and_little_motion(open_admin, ana, tasks):
    """On a phone the bar fits, and who wants less motion sees a dot instead of a fading colour."""
    page = await open_admin(
        LIST, ana, viewport={"width": 390, "height": 844}, reduced_motion="reduce"
    )
    # It is there for a moment.
    dot = """() => {
      const changed = [...document.querySelectorAll("td.live-changed")];
      return changed.length > 0 && changed.map((cell) =>
        [cell.className, getComputedStyle(cell, "::after").content]);
    }"""
    await watch(page, dot)
    await update("paint", notes="soon")
    assert await saw(page) == [["field-link live-changed", '" •"']]
    bar = await page.locator(".live-bar").bounding_box()
    assert bar["x"] >= 0
    assert bar["x"] + bar["width"] <= 390


async def test_many_changes_are_few_questions(open_admin, ana, tasks):
    """A burst of changes asks the admin a few times a second, not each time."""
    page = await open_admin(LIST, ana)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else 0)
    began = time.monotonic()
    for hours in range(100):
        await update("paint", hours=hours)

    async def current():
        return await control(page, "paint", "hours").input_value() == "99.00"

    await until(current)
    assert len(asked) <= 3 + (time.monotonic() - began) / 0.25
