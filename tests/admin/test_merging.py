"""A save over somebody's newer version asks first, field by field, without any JavaScript."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.office.models import Person, Step, Task

pytestmark = pytest.mark.django_db


class Form:
    """A page's form, as a browser without JavaScript fills it in and sends it."""

    def __init__(self, client, url):
        self.client, self.url = client, url
        self.take(client.get(url))

    def take(self, response):
        assert response.status_code == 200
        self.response = response
        self.html = response.content.decode()
        self.data = dict(_controls(self.html))

    def send(self, **changes):
        """Send it with these changes; True if it was saved."""
        data = self.data | {name.replace("__", "-"): value for name, value in changes.items()}
        response = self.client.post(self.url, {k: v for k, v in data.items() if v is not None})
        if response.status_code == 302:
            return True
        self.take(response)
        return False

    def page(self):
        """The list that follows a save."""
        return self.client.get(self.url.rsplit("/", 3)[0] + "/").content.decode()

    def questions(self):
        """What is asked, as {legend: (before, theirs, yours)}."""
        found = {}
        for question in re.findall(
            r'<fieldset class="live-conflict".*?</fieldset>', self.html, re.S
        ):
            legend = re.search("<legend>(.*?)</legend>", question)[1]
            found[legend.partition(":")[0]] = tuple(
                re.findall(r'<span class="live-value">(.*?)</span>', question, re.S)
            )
        return found


def _controls(html):
    form = re.search(r'<form [^>]*id="(?:\w+_form|changelist-form)".*?</form>', html, re.S)[0]
    form = re.sub(r'<fieldset class="live-conflict".*?</fieldset>', "", form, flags=re.S)
    for tag in re.findall(r"<input [^>]*>", form):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        kind, name = attributes.get("type"), attributes.get("name")
        if name is None or kind in ("submit", "button", "file") or name.startswith("_selected"):
            continue
        if kind in ("checkbox", "radio") and " checked" not in tag:
            continue
        unset = "on" if kind in ("checkbox", "radio") else ""
        yield name, unescape(attributes.get("value", unset))
    for name, text in re.findall(r'<textarea name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.S):
        yield name, unescape(text).strip()
    for name, options in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.findall(r'<option value="([^"]*)" selected', options)
        several = re.search(rf'<select name="{name}"[^>]* multiple', form)
        yield name, chosen if several else (chosen[0] if chosen else "")


@pytest.fixture
def client(admin_client):
    return admin_client


@pytest.fixture
def task():
    return Task.objects.create(title="paint", hours="1.50", notes="white")


def url_of(row):
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


def now(row):
    row.refresh_from_db()
    return row


def test_what_nobody_else_changed_is_saved(client, task):
    """A form over a row that is as it was is saved without a question."""
    assert Form(client, url_of(task)).send(hours="2")
    assert now(task).hours == 2


def test_what_others_changed_alone_is_kept(client, task):
    """The stale value of a field that this form's user left alone doesn't go back into the row."""
    form = Form(client, url_of(task))
    Task.objects.update(notes="green", done=True, priority=2)
    assert form.send(hours="2")
    assert (now(task).notes, task.done, task.priority, task.hours) == ("green", True, 2, 2)
    assert "Kept as others have changed it meanwhile: Notes, Done, Priority." in form.page()


def test_the_same_change_is_no_conflict(client, task):
    """Two who say the same agree."""
    form = Form(client, url_of(task))
    Task.objects.update(notes="green")
    assert form.send(notes="green")


def test_a_conflict_is_asked_about_and_nothing_is_saved(client, task):
    """Base, theirs and yours stand beside the field; the other edits wait with it."""
    form = Form(client, url_of(task))
    Task.objects.update(hours="3")
    assert not form.send(hours="2", notes="mine")
    assert form.questions() == {"Hours": ("1.50", "3.00", "2.00")}
    assert form.data["hours"] == "2"
    assert form.data["notes"] == "mine"
    assert "Nothing is saved yet" in form.html
    assert (now(task).hours, task.notes) == (3, "white")


@pytest.mark.parametrize(("choice", "hours"), [("theirs", 3), ("yours", 2)])
def test_the_choice_is_done(client, task, choice, hours):
    """Each choice does what it says, and the other edits are saved with it."""
    form = Form(client, url_of(task))
    Task.objects.update(hours="3")
    assert not form.send(hours="2", notes="mine")
    assert form.send(**{"hours-live-choice": choice})
    assert (now(task).hours, task.notes) == (hours, "mine")


def test_no_choice_is_no_yes(client, task):
    """Sending the form again without an answer asks again, with the same base."""
    form = Form(client, url_of(task))
    Task.objects.update(hours="3")
    assert not form.send(hours="2")
    assert not form.send()
    assert form.questions() == {"Hours": ("1.50", "3.00", "2.00")}


def test_what_changes_while_it_is_asked_is_asked_about_again(client, task):
    """Using yours goes over the version that was shown, not over a newer one."""
    form = Form(client, url_of(task))
    Task.objects.update(hours="3")
    assert not form.send(hours="2")
    Task.objects.update(hours="4", notes="green")
    assert not form.send(**{"hours-live-choice": "yours"})
    assert form.questions() == {"Hours": ("1.50", "4.00", "2.00")}
    assert form.data["notes"] == "green"  # theirs, shown by now
    assert form.send(**{"hours-live-choice": "yours"})
    assert (now(task).hours, task.notes) == (2, "green")


def test_a_form_that_came_back_for_another_reason_keeps_what_is_kept(client, task):
    """A mistake elsewhere doesn't make a stale value look like an edit the next time."""
    form = Form(client, url_of(task))
    Task.objects.update(notes="green")
    assert not form.send(title="")
    assert form.data["notes"] == "green"
    assert form.send(title="walls")
    assert now(task).notes == "green"


@pytest.mark.parametrize("token", [None, "forged", "", "e30:1abc:x"])
def test_a_form_without_its_base_asks_about_all_that_differs(client, task, token):
    """Nothing is known of what its user saw, so nothing is overwritten unasked."""
    form = Form(client, url_of(task))
    form.data["live-base"] = token
    assert not form.send(hours="2")
    assert form.questions() == {"Hours": ("(not known)", "1.50", "2.00")}
    assert form.send(**{"hours-live-choice": "yours"})


def test_a_base_is_of_its_row(client, task):
    """What another row's form was served with says nothing of this one."""
    other = Form(client, url_of(Task.objects.create(title="other", hours="1.50")))
    form = Form(client, url_of(task))
    form.data["live-base"] = other.data["live-base"]
    assert not form.send(hours="2")


def test_every_kind_of_field(client, task):
    """Relations, choices, times and JSON are compared as values and asked about in words."""
    ana, bo, cy = [Person.objects.create(name=name) for name in ("Ana", "Bo", "Cy")]
    Task.objects.update(due="2026-01-02 03:04:05.678901Z", owner=ana, extra={"a": 1})
    task.helpers.set([ana])
    form = Form(client, url_of(task))
    Task.objects.update(due="2026-02-02 03:04:05Z", owner=bo, extra={"a": 2}, done=True, priority=2)
    task.helpers.set([bo])
    assert not form.send(
        due_0="2026-03-02", owner=cy.pk, extra='{"a": 3}', helpers=[cy.pk], title="walls"
    )
    questions = form.questions()
    assert questions["Owner"] == ("Ana", "Bo", "Cy")
    assert questions["Helpers"] == ("Ana", "Bo", "Cy")
    assert questions["Extra"][1:] == ("{&quot;a&quot;: 2}", "{&quot;a&quot;: 3}")
    assert [said[:4] for said in questions["Due"]] == ["Jan.", "Feb.", "Marc"]
    assert len(questions) == 4
    yours = dict.fromkeys(("due", "owner", "extra", "helpers"), "yours")
    yours["owner"] = "theirs"
    assert form.send(**{f"{name}-live-choice": choice for name, choice in yours.items()})
    assert (now(task).owner, task.extra, task.done, task.priority) == (bo, {"a": 3}, True, 2)
    assert [*task.helpers.all()] == [cy]
    assert (task.due.month, task.title) == (3, "walls")


def test_times_without_their_microseconds_are_no_edit(client, task):
    """What a widget can't show is not taken for something that its user changed."""
    Task.objects.update(due="2026-01-02 03:04:05.678901Z")
    form = Form(client, url_of(task))
    Task.objects.update(due="2026-02-02 03:04:05Z")
    assert form.send(hours="2")
    assert now(task).due.month == 2


def test_who_saved_it_is_named(client, task):
    """The question says who has saved the row in the admin since the form was opened."""
    form = Form(client, url_of(task))
    bo = User.objects.create_superuser("bo")
    theirs = Client()
    theirs.force_login(bo)
    assert Form(theirs, url_of(task)).send(hours="3")
    assert not form.send(hours="2")
    assert "bo saved this while you were editing" in form.html


def test_values_are_escaped(client, task):
    """What people have typed stays text in the question."""
    form = Form(client, url_of(task))
    Task.objects.update(notes="<b>theirs</b>")
    assert not form.send(notes="<i>mine</i>")
    assert "<b>theirs" not in form.html
    assert form.questions()["Notes"][1:] == ("&lt;b&gt;theirs&lt;/b&gt;", "&lt;i&gt;mine&lt;/i&gt;")


def test_users(client):
    """auth.User's admin, with its password that no form edits, asks like any other."""
    user = User.objects.create_user("cy", email="a@example.com", password="x")
    form = Form(client, url_of(user))
    User.objects.filter(pk=user.pk).update(email="b@example.com", first_name="Cy")
    assert not form.send(email="c@example.com")
    assert form.questions() == {
        "Email address": ("a@example.com", "b@example.com", "c@example.com")
    }
    assert form.send(**{"email-live-choice": "yours"})
    assert (now(user).email, user.first_name) == ("c@example.com", "Cy")
    assert user.check_password("x")


# list_editable

LIST = "/admin/office/task/"


@pytest.fixture
def tasks(task):
    return [task, Task.objects.create(title="sand", hours="1")]


def test_a_list_keeps_what_others_changed(client, tasks):
    """Rows that this page's user left alone are not saved at all, whatever old values it holds."""
    form = Form(client, LIST)
    Task.objects.filter(title="sand").update(hours="7", done=True)
    assert form.send(**{"form-0-hours": "2", "_save": "Save"})
    assert [now(task).hours for task in tasks] == [2, 7]
    assert tasks[1].done


def test_a_list_asks_in_the_row(client, tasks):
    """A conflict stands in its cell; no row is saved until it is answered."""
    form = Form(client, LIST)
    Task.objects.filter(title="sand").update(hours="7")
    assert not form.send(**{"form-0-hours": "2", "form-1-hours": "3", "_save": "Save"})
    assert form.questions() == {"Hours": ("1.00", "7.00", "3.00")}
    assert [now(task).hours for task in tasks] == [1.5, 7]
    assert form.send(**{"form-1-hours-live-choice": "yours", "_save": "Save"})
    assert [now(task).hours for task in tasks] == [2, 3]


def test_a_list_that_comes_back_shows_each_question_at_its_row(client, tasks):
    """What is listed by now may be in another order; forms and rows stay together."""
    form = Form(client, LIST)
    Task.objects.filter(title="sand").update(hours="7")
    Task.objects.create(title="a first one")
    assert not form.send(**{"form-1-hours": "3", "_save": "Save"})
    table = re.search(r"<tbody>.*</tbody>", form.html, re.S)[0]
    assert [*re.findall(r"change/[^>]*>(\w+)</a>", table)] == ["paint", "sand"]
    assert table.index("live-conflict") > table.index(">sand<")


# Inlines


def test_inlines_ask_too(client, task):
    """A row of an inline is asked about like a field of the form."""
    step = Step.objects.create(task=task, text="buy")
    form = Form(client, url_of(task))
    Step.objects.update(text="borrow")
    assert not form.send(**{"steps-0-text": "steal"})
    assert form.questions() == {"Text": ("buy", "borrow", "steal")}
    assert form.send(**{"steps-0-text-live-choice": "theirs"})
    assert now(step).text == "borrow"


def test_inlines_keep_what_others_changed(client, task):
    """The stale value of an inline's row doesn't go back."""
    step = Step.objects.create(task=task, text="buy")
    form = Form(client, url_of(task))
    Step.objects.update(text="borrow")
    assert form.send(notes="mine")
    assert now(step).text == "borrow"
