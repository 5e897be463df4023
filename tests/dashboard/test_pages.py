"""The pages that Django serves."""

import subprocess
import sys
import urllib.request

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from dashboard.views import ElementsView
from tests.servers import CHECKOUT, COMMANDS, environment


def test_the_dashboard_is_never_cached(client, transactional_db):
    """The page holds rows of this moment: no cache may keep it."""
    response = client.get(reverse("dashboard"))
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]


def test_log_in_and_out(client, django_user_model, db):
    """Logging in leads to the dashboard, logging out back to it."""
    django_user_model.objects.create_user("ana", password="correct horse")
    response = client.post(reverse("login"), {"username": "ana", "password": "correct horse"})
    assert response.headers["Location"] == reverse("dashboard")
    assert "_auth_user_id" in client.session
    assert client.post(reverse("logout")).headers["Location"] == reverse("dashboard")
    assert "_auth_user_id" not in client.session


def test_pages_of_errors_are_pages_of_this_site(client, django_user_model, db, monkeypatch):
    """What isn't there, isn't allowed or has failed says so, and leads back."""
    client.raise_request_exception = False
    staff = django_user_model.objects.create_user("stan", is_staff=True)
    monkeypatch.setattr(ElementsView, "get_context_data", lambda self: 1 / 0)
    found = {"/nothing/": client.get("/nothing/"), "/elements/": client.get("/elements/")}
    client.force_login(staff)
    admin = reverse("admin:values_integervalue_changelist")
    found[admin] = client.get(admin)
    login = reverse("login")
    found[login] = Client(enforce_csrf_checks=True).post(login, {"username": "stan"})
    for path, status, words in (
        ("/nothing/", 404, "There is no such page"),
        ("/elements/", 500, "Something went wrong on the server"),
        (admin, 403, "have the right to see this page."),
        (login, 403, "This page was out of date"),
    ):
        text = found[path].content.decode()
        assert found[path].status_code == status
        assert words in text
        assert f'href="{reverse("dashboard")}"' in text


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_plain_server_serves_static_files(start_server, kind):
    """Without DEBUG and a collecting step an ES module is served, to be asked about each time."""
    server = start_server(kind)
    url = f"{server.url}/static/databinding/index.js"
    with urllib.request.urlopen(url) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/javascript")
        assert "max-age=0" in response.headers["Cache-Control"]
        assert response.read() == (CHECKOUT / "frontend/databinding/index.js").read_bytes()
        validator = response.headers["Last-Modified"]
    request = urllib.request.Request(url, headers={"If-Modified-Since": validator})
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(request)
    assert unchanged.value.code == 304
    unchanged.value.close()
    assert "Warning" not in server.log()


def test_checks_find_nothing(db):
    """`manage.py check` has nothing to say about this project."""
    call_command("check", fail_level="WARNING", databases=["default"])


@pytest.mark.django_db(databases=["default", "other"])
def test_migrations_are_complete():
    """The models say nothing that the migrations don't."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def settings_process(tmp_path, **variables):
    process_environment = environment(tmp_path / "unused.sqlite3", **variables)
    if not process_environment["SECRET_KEY"]:
        del process_environment["SECRET_KEY"]
    return subprocess.run(
        [sys.executable, "-c", "import dashboard.settings as s; print(s.DEBUG)"],
        env=process_environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("variables", "debug"),
    [
        ({"SECRET_KEY": ""}, "True"),
        ({"SECRET_KEY": "a secret"}, "False"),
        ({"SECRET_KEY": "a secret", "DEBUG": "1"}, "True"),
    ],
)
def test_debug_is_for_sites_without_a_secret(tmp_path, variables, debug):
    """DEBUG is on by default only where there is no SECRET_KEY."""
    process = settings_process(tmp_path, **variables)
    assert process.stdout.strip() == debug


def test_a_site_without_debug_needs_a_secret(tmp_path):
    """DEBUG off without a SECRET_KEY is refused with a sentence that says what to do."""
    process = settings_process(tmp_path, SECRET_KEY="", DEBUG="0")
    assert process.returncode != 0
    assert "ImproperlyConfigured: DEBUG is off: set SECRET_KEY" in process.stderr
