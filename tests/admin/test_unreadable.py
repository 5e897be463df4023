"""Rows that SQL has written as Django can't read or show them, in a live admin."""

import html
import re

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from tests.admin.test_merging import Form
from tests.office.admin import TaskAdmin
from tests.office.models import Step, Task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/office/task/"
#: What no moment is, on each database.
NEVER = {"sqlite": "2026-13-45 00:00:00", "postgresql": "infinity"}


@pytest.fixture
def browser(admin_client):
    return admin_client


@pytest.fixture
def task():
    Task.objects.create(title="paint")
    return Task.objects.create(title="sand")


def hold(task, due):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE office_task SET due = %s WHERE id = %s", [due, task.pk])


@pytest.fixture
def spoilt(task):
    hold(task, NEVER[connection.vendor])
    return task


def messages(page):
    found = re.findall(r'<ul class="messagelist">(.*?)</ul>', page.content.decode(), re.S)
    return html.unescape(" ".join(found)).strip()


def test_the_list_names_it_and_leads_to_its_deletion(browser, spoilt):
    """It is left out, all others are there, and who follows its key can delete it."""
    page = browser.get(LIST)
    assert "paint" in page.content.decode()
    assert "sand" not in page.content.decode()
    said = messages(page)
    assert "These rows hold what can't be read, and are left out here:" in said
    address = re.search(r'<a href="(.*?)">', said)[1]
    assert address == f"{LIST}{spoilt.pk}/delete/"
    asked = browser.get(address)
    assert asked.status_code == 200
    assert "sand" in asked.content.decode()
    gone = browser.post(address, {"post": "yes"}, follow=True)
    assert "deleted successfully" in messages(gone)
    assert [task.title for task in Task.objects.all()] == ["paint"]
    assert LogEntry.objects.get().object_repr == "sand"


def test_what_hangs_on_it_goes_with_it(browser, spoilt):
    """As of any row that is deleted in the admin."""
    Step.objects.create(task=spoilt, text="buy paper")
    address = f"{LIST}{spoilt.pk}/delete/"
    assert "buy paper" in browser.get(address).content.decode()
    browser.post(address, {"post": "yes"})
    assert not Step.objects.exists()


def test_one_whose_name_cannot_be_read(browser, spoilt, monkeypatch):
    """It is called after what can be."""
    monkeypatch.setattr(Task, "__str__", lambda self: f"{self.title}, due {self.due}")
    address = f"{LIST}{spoilt.pk}/delete/"
    assert "sand, due None" in browser.get(address).content.decode()
    assert browser.post(address, {"post": "yes"}).status_code == 302
    assert not Task.objects.filter(pk=spoilt.pk).exists()


def test_who_decides_by_what_cannot_be_read_is_not_passed_by(browser, spoilt, monkeypatch):
    """A permission that looks at it isn't granted: back to the list, which says why."""
    monkeypatch.setattr(
        TaskAdmin, "has_delete_permission", lambda self, request, obj=None: not obj or not obj.due
    )
    page = browser.post(f"{LIST}{spoilt.pk}/delete/", {"post": "yes"}, follow=True)
    assert "The database holds something in this row that can't be read." in messages(page)
    assert Task.objects.filter(pk=spoilt.pk).exists()


def test_who_may_not_delete_is_not_led_there(spoilt):
    """He is told which rows are left out, and that is all; nor can he delete them."""
    staff = User.objects.create_user("bo", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_task"]))
    browser = Client()
    browser.force_login(staff)
    said = messages(browser.get(LIST))
    assert f"left out here: {spoilt.pk}." in said
    assert "<a" not in said
    assert browser.post(f"{LIST}{spoilt.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_action_on_all_rows(browser, spoilt):
    """One that can't do with such a row breaks off, and it is said why."""
    chosen = {"action": "delete_selected", "select_across": "1", "_selected_action": "1"}
    page = browser.post(LIST, chosen, follow=True)
    assert "The action broke off: some of these rows hold what can't be read." in messages(page)
    assert Task.objects.count() == 2


def test_its_history_is_shown(browser, spoilt):
    """What was done with it, and by whom, doesn't hang on what it holds."""
    admin = User.objects.get(username="admin")
    LogEntry.objects.log_actions(admin.pk, [spoilt], CHANGE, "Bought paint.", single_object=True)
    page = browser.get(f"{LIST}{spoilt.pk}/history/")
    assert page.status_code == 200
    assert "Change history: sand" in page.content.decode()
    assert "Bought paint." in page.content.decode()


def test_who_may_see_its_history_is_asked_of_what_can_be_read(browser, spoilt, monkeypatch):
    """Where that looks at what can't be read it isn't granted: back to the list, which says why."""
    monkeypatch.setattr(
        TaskAdmin, "has_view_permission", lambda self, request, obj=None: not obj or not obj.due
    )
    page = browser.get(f"{LIST}{spoilt.pk}/history/", follow=True)
    assert "The database holds something in this row that can't be read." in messages(page)


@pytest.mark.sqlite
def test_the_history_of_one_whose_name_is_a_blob(browser, task):
    """It is called after what of it is text."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE office_task SET title = x'73616eff' WHERE id = %s", [task.pk])
    page = browser.get(f"{LIST}{task.pk}/history/")
    assert page.status_code == 200
    assert "Change history: san\ufffd" in page.content.decode()


@pytest.mark.sqlite
def test_rows_of_an_inline(browser, task):
    """One that can't be read has no form there, which is said; the others are edited as ever."""
    fine = Step.objects.create(task=task, text="buy paper")
    bad = Step.objects.create(task=task, text="?")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE office_step SET text = CAST(x'ff' AS TEXT) WHERE id = %s", [bad.pk])
    address = f"{LIST}{task.pk}/change/"
    form = Form(browser, address)
    said = f"Steps: These rows hold what can't be read, and are left out here: {bad.pk}."
    assert said.casefold() in messages(form.response).casefold()
    assert form.data["steps-INITIAL_FORMS"] == "1"
    assert form.send(steps__0__text="buy glue")
    fine.refresh_from_db()
    assert fine.text == "buy glue"
    assert Step.objects.count() == 2


@pytest.mark.sqlite
def test_what_would_take_rows_with_it_that_cannot_be_read(browser, task):
    """It stays, and it is said which of them have to go first."""
    step = Step.objects.create(task=task, text="?")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE office_step SET text = CAST(x'ff' AS TEXT) WHERE id = %s", [step.pk])
    address = f"{LIST}{task.pk}/delete/"
    for page in (
        browser.get(address, follow=True),
        browser.post(address, {"post": "yes"}, follow=True),
    ):
        assert page.redirect_chain == [(LIST, 302)]
        assert f"rows with it that can't be read: steps {step.pk}." in messages(page)
    assert Task.objects.filter(pk=task.pk).exists()


def ask(browser, task):
    """What the list's script asks about a row."""
    body = {"pks": [str(task.pk)]}
    return browser.post(f"{LIST}live/", body, content_type="application/json")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("field", "held"),
    [("owner_id", "'abc'"), ("paper", "x'ff'"), ("title", "x'ff'"), ("hours", "'abc'")],
)
def test_other_texts_and_blobs_than_there_should_be(browser, task, monkeypatch, field, held):
    """Where the list would show them the row is left out, and it can be deleted."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute(f"UPDATE office_task SET {field} = {held} WHERE id = %s", [task.pk])
        cursor.execute("PRAGMA foreign_keys = ON")
    monkeypatch.setattr(TaskAdmin, "list_display", ["title", "owner", "paper"])
    monkeypatch.setattr(TaskAdmin, "list_editable", [])
    page = browser.get(LIST)
    assert (page.status_code, ask(browser, task).json()["pks"]) == (200, [])
    address = f"{LIST}{task.pk}/delete/"
    assert address in messages(page)
    assert browser.get(address).status_code == 200
    assert browser.post(address, {"post": "yes"}).status_code == 302
    assert [task.title for task in Task.objects.all()] == ["paint"]


@pytest.mark.sqlite
@pytest.mark.parametrize("due", ["9999-12-31 23:59:59-05:00", "0001-01-01 00:00:00+05:00"])
def test_what_can_be_read_but_not_shown(browser, task, monkeypatch, due):
    """A moment that is in no year here is in a form and a list what can't be read."""
    hold(task, due)
    said = "The database holds something in this row that can't be read."
    for page in (
        browser.get(f"{LIST}{task.pk}/change/", follow=True),
        browser.post(f"{LIST}{task.pk}/change/", {"title": "x"}, follow=True),
    ):
        assert said in messages(page)
    assert "sand" in browser.get(LIST).content.decode()  # which doesn't show when it is due
    monkeypatch.setattr(TaskAdmin, "list_display", ["title", "due"])
    monkeypatch.setattr(TaskAdmin, "list_editable", [])
    page = browser.get(LIST)
    assert "paint" in page.content.decode()
    assert ask(browser, task).json()["pks"] == []
    assert f"{LIST}{task.pk}/delete/" in messages(page)
    assert browser.post(f"{LIST}{task.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Task.objects.filter(pk=task.pk).exists()
