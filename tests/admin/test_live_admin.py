"""What a live admin tells, to whom, and what it asks of a project."""

import json

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import transaction
from django.test import Client as Browser

from databinding.admin import LiveAdminMixin
from databinding.admin.models import Presence
from databinding.admin.websockets import LiveAdminDemultiplexer
from databinding.binding import registry
from tests.databinding.clients import Client
from tests.databinding.conftest import registry_as_it_was  # noqa: F401
from tests.office.models import Person, Step, Task, Unbound

pytestmark = pytest.mark.django_db(transaction=True)

TASKS, USERS = "admin:office.task", "admin:auth.user"
KEY = "00000000-0000-0000-0000-000000000001"


class Plain(LiveAdminMixin, admin.ModelAdmin):
    pass


def ids(model_admin):
    return [message.id for message in model_admin.check()]


# Checks


def test_a_bound_models_admin_passes():
    """With a binding and the app there is nothing to say."""
    assert ids(Plain(Task, admin.site)) == []


def test_an_unbound_model(settings):
    """A live admin that nothing would tell of changes is an error."""
    assert ids(Plain(Unbound, admin.site)) == ["databinding.E030"]


def test_the_app_is_missing(settings):
    """So is one without the app that says who is where."""
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "databinding.admin"
    ]
    assert ids(Plain(Task, admin.site)) == ["databinding.E031"]


# Streams


async def client_of(user):
    return Client(LiveAdminDemultiplexer, user=user)


@pytest.fixture
def staff():
    staff = User.objects.create_user("ana", first_name="Ana", is_staff=True)
    staff.user_permissions.add(
        Permission.objects.get(content_type__app_label="office", codename="view_task")
    )
    return staff


@pytest.fixture
def task():
    return Task.objects.create(title="paint")


async def test_keys_alone_are_told(staff, admin_user, task):
    """A stream begins with nothing, and tells no more of a change than whose it is."""
    user = await in_database(User.objects.create_user)("cy", password="hidden")
    async with Client(LiveAdminDemultiplexer, user=admin_user) as client:
        await client.subscribe(USERS)
        assert client.frames[-1]["payload"]["items"] == []
        await in_database(User.objects.filter(pk=user.pk).update)(email="cy@example.com")
        (event,) = (await client.receive())["payload"]["events"]
        assert (event["pk"], list(event["data"])) == (user.pk, ["version"])
        # The same again: it changed again, whatever of it.
        await in_database(User.objects.filter(pk=user.pk).update)(email="cy@example.com")
        assert [one["pk"] for one in (await client.receive())["payload"]["events"]] == [user.pk]
        await in_database(User.objects.filter(pk=user.pk).delete)()
        deleted = {"action": "delete", "pk": user.pk}
        assert (await client.receive())["payload"]["events"] == [deleted]


async def test_the_admins_permission_is_asked(staff, task):
    """Who may not see the list may not subscribe; nor who isn't staff, or nobody."""
    nobody = AnonymousUser()
    other = await in_database(User.objects.create_user)("bo", is_staff=True)
    no_staff = await in_database(User.objects.create_user)("cy", is_superuser=True)
    for user, status in ((nobody, 401), (other, 403), (no_staff, 403), (staff, 200)):
        async with Client(LiveAdminDemultiplexer, user=user) as client:
            said = await client.ask(TASKS, "subscribe")
            assert said["response_status"] == status, user
            said = await client.ask("presence", "here", place=TASKS, row="1", key=KEY)
            assert said["response_status"] == status, user


async def test_keys_of_hidden_rows_are_not_told(staff, task):
    """What the admin's own get_queryset hides doesn't even have a key."""
    secret = await in_database(Task.objects.create)(title="secret plan")
    async with Client(LiveAdminDemultiplexer, user=staff) as client:
        await client.subscribe(TASKS)
        assert {item["pk"] for item in client.frames[-1]["payload"]["items"]} == {task.pk}

        def both():
            with transaction.atomic():
                secret.delete()
                Task.objects.create(title="sand")

        await in_database(both)()
        (event,) = (await client.receive())["payload"]["events"]
        assert event["pk"] != secret.pk


async def test_a_stream_is_made_once(staff, task):
    """Connections share one binding for each live admin."""
    async with Client(LiveAdminDemultiplexer, user=staff) as client:
        await client.subscribe(TASKS)
    before = list(registry)
    async with Client(LiveAdminDemultiplexer, user=staff) as client:
        await client.subscribe(TASKS)
    assert registry == before


# Presence


async def test_who_is_where(staff, task, settings):
    """Others at the same list learn the name and the row, until the page is left."""
    async with Client(LiveAdminDemultiplexer, user=staff) as client:
        await client.subscribe("presence", place=TASKS)
        said = await client.ask("presence", "here", place=TASKS, row=str(task.pk), key=KEY)
        own = said["data"]["pk"]
        await client.until("presence", {own: {"row": str(task.pk), "name": "Ana"}})
        await client.ask("presence", "here", place=TASKS, row="", key=KEY)
        await client.until("presence", {own: {"row": "", "name": "Ana"}})
        browser = Browser()
        await in_database(browser.force_login)(staff)
        left = await in_database(browser.post)("/admin/office/task/live/gone/", {"key": KEY})
        assert left.status_code == 204
        await client.until("presence", {})


async def test_nobody_asks_who_is_elsewhere(staff, task):
    """Who may not see a list doesn't learn who is there, nor ends another's lease."""
    await in_database(Presence.renew)(TASKS, "", staff, KEY)
    other = await in_database(User.objects.create_user)("bo", is_staff=True)
    async with Client(LiveAdminDemultiplexer, user=other) as client:
        said = await client.ask("presence", "subscribe", place=TASKS)
        assert said["response_status"] == 403
        said = await client.ask("presence", "subscribe", place="admin:no.such")
        assert said["response_status"] == 403
    browser = Browser()
    await in_database(browser.force_login)(other)
    person = await in_database(Permission.objects.get)(
        content_type__app_label="office", codename="view_task"
    )
    await in_database(other.user_permissions.add)(person)
    await in_database(browser.post)("/admin/office/task/live/gone/", {"key": KEY})
    assert await Presence.objects.acount() == 1


def test_a_lease_ends(staff, monkeypatch):
    """Whose page doesn't say any more that it is there, is gone when another's does."""
    from databinding.admin import models

    monkeypatch.setattr(models, "LEASE", -models.LEASE)
    Presence.renew(TASKS, "", staff, KEY)
    Presence.renew(TASKS, "", staff, KEY.replace("1", "2"))
    assert Presence.objects.count() == 1


# Rows


@pytest.fixture
def browser(admin_user):
    browser = Browser()
    browser.force_login(admin_user)
    return browser


def ask(browser, body, query=""):
    url = f"/admin/office/task/live/{query}"
    return browser.post(url, json.dumps(body), content_type="application/json")


def test_rows_are_those_of_the_list(browser, task):
    """Rows outside its filter are told apart from those that are gone."""
    done = Task.objects.create(title="sand", done=True)
    said = ask(browser, {"pks": [task.pk, done.pk, 999]}, "?done__exact=0").json()
    assert (said["pks"], said["left"]) == ([str(task.pk)], [str(done.pk)])
    assert (said["page"], said["count"]) == ([str(task.pk)], 1)
    assert "paint" in said["html"]
    assert "sand" not in said["html"]
    assert list(said["tokens"]) == [str(task.pk)]


@pytest.mark.parametrize("body", [[], {}, {"pks": 1}, {"pks": ["x"]}, {"pks": [None, {}]}])
def test_nonsense_is_refused(browser, body):
    """What isn't a list of keys is answered 400."""
    assert ask(browser, body).status_code == 400


def test_only_who_may_see_the_list_is_answered(staff, task):
    """By nobody's, and not by a GET."""
    browser = Browser()
    assert ask(browser, {"pks": []}).status_code == 302
    browser.force_login(User.objects.create_user("bo", is_staff=True))
    assert ask(browser, {"pks": [task.pk]}).status_code == 403
    browser.force_login(staff)
    said = ask(browser, {"pks": [task.pk]}).json()
    assert (said["pks"], said["tokens"]) == ([str(task.pk)], {})  # He may not change it.
    assert browser.get("/admin/office/task/live/").status_code == 405


def test_a_question_needs_its_token(admin_user, task):
    """Other sites' pages can't ask in their visitor's name."""
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(admin_user)
    assert ask(browser, {"pks": [task.pk]}).status_code == 403


def test_a_form_that_may_only_be_viewed_has_no_base(staff, task):
    """Who can't save isn't given what saving needs."""
    browser = Browser()
    browser.force_login(staff)
    page = browser.get(f"/admin/office/task/{task.pk}/change/")
    assert page.status_code == 200
    assert b"live-base" not in page.content


def test_adding_is_as_ever(browser):
    """A new row has no base, and inlines of it neither."""
    page = browser.get("/admin/office/task/add/")
    assert b'name="live-base"' not in page.content
    steps = {"steps-TOTAL_FORMS": 1, "steps-INITIAL_FORMS": 0, "steps-0-text": "buy"}
    data = {"title": "new", "priority": 1, "extra": "{}", **steps}
    assert browser.post("/admin/office/task/add/", data).status_code == 302
    assert Step.objects.get().task.title == "new"


def test_the_users_own_pages_work(browser, admin_user):
    """Changing a password, deleting, history: what isn't merged is as ever."""
    url = f"/admin/auth/user/{admin_user.pk}"
    words = {"password1": "correct horse", "password2": "correct horse", "usable_password": "true"}
    assert browser.post(f"{url}/password/", words).status_code == 302
    assert browser.get(f"{url}/history/").status_code == 200
    person = User.objects.create_user("cy")
    deleted = browser.post(f"/admin/auth/user/{person.pk}/delete/", {"post": "yes"})
    assert deleted.status_code == 302
    assert not User.objects.filter(pk=person.pk).exists()


def test_actions_are_as_ever(browser, task):
    """The list's own actions find their rows."""
    data = {"action": "delete_selected", "_selected_action": [task.pk], "post": "yes"}
    assert browser.post("/admin/office/task/", data).status_code == 302
    assert not Task.objects.exists()


def test_a_person_can_be_viewed(browser):
    """An admin that isn't live stays as it is."""
    person = Person.objects.create(name="Cy")
    page = browser.get(f"/admin/office/person/{person.pk}/change/")
    assert b"live-admin" not in page.content
