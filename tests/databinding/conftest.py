import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import override_settings

from databinding import capture, inspection, triggers
from databinding.binding import registry
from databinding.conf import DEFAULTS
from databinding.relay import stop_relays
from tests.postgresql import PostgreSQL
from tests.servers import PATIENCE


@pytest.fixture
def by_signals(transactional_db):
    """Signals capture; there are no triggers."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        triggers.install("default")
        yield
    triggers.install("default")


@pytest.fixture(params=["db", "cached_db", "cache", "file", "signed_cookies"])
def session_engine(request, settings, tmp_path):
    """Each of Django's engines of sessions, by its name."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return request.param


@pytest.fixture
def registry_as_it_was():
    """Bindings that a test declares are gone after it."""
    before = list(registry)
    capture.connect()
    yield
    registry[:] = before
    capture.watched_by.cache_clear()


@pytest.fixture
def inspected_anew(monkeypatch):
    """Each test asks for itself how a database is."""
    inspection._questions.clear()
    inspection._migrated.clear()
    monkeypatch.setattr(inspection, "FRESH", 0)
    # A busy machine may take longer; tests of databases that hang have their own.
    monkeypatch.setattr(inspection, "PATIENCE", PATIENCE)


@pytest.fixture
def nobody_looks(monkeypatch):
    """Rights that end are seen by who asks: no look comes before that and closes the connection,
    unless a test sets RIGHTS_INTERVAL itself."""
    monkeypatch.setitem(DEFAULTS, "RIGHTS_INTERVAL", 3600)


@pytest.fixture
def counted(monkeypatch):
    """`counted(together)` is how many questions each of its calls has had, from then on."""

    def count(together):
        found = []
        answer = together._answer

        def counting(asked):
            found.append(len(asked))
            return answer(asked)

        monkeypatch.setattr(together, "_answer", counting)
        return found

    return count


@pytest.fixture
def cluster(transactional_db, monkeypatch):
    """A PostgreSQL of the test's own, migrated, in the place of the test database."""
    with PostgreSQL() as postgresql:
        connections.close_all()
        monkeypatch.setitem(connection.settings_dict, "HOST", str(postgresql.socket))
        monkeypatch.setitem(connection.settings_dict, "NAME", "app")
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield postgresql
        stop_relays()
        connections.close_all()
