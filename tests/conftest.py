import signal
import time

import hypothesis
import pytest
from asgiref.sync import SyncToAsync
from django.db import connections
from django.test import TransactionTestCase

from tests import nursery, settings
from tests.servers import PATIENCE, Server

Server.popen = staticmethod(nursery.popen)

# The same examples each time, and as much time for each as a busy machine takes. For others:
# --hypothesis-profile=others.
hypothesis.settings.register_profile(
    "others", hypothesis.settings.get_profile("ci"), derandomize=False
)
hypothesis.settings.load_profile("ci")

# A shell that starts this in the background has it ignore Ctrl-C, which its children would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


def end_in_order(number, frame):
    """As Ctrl-C does: fixtures end what they have started. Told once more, it goes on ending."""
    signal.signal(number, lambda number, frame: None)
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, end_in_order)


def pytest_collection_modifyitems(config, items):
    """Leave out what is about another database than the one that is tested; on PostgreSQL also
    what is marked as the same on both."""
    on_postgresql = connections["default"].vendor == "postgresql"
    others = {"sqlite", "alike"} if on_postgresql else {"postgresql"}
    left_out = [item for item in items if any(map(item.get_closest_marker, others))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_unconfigure():
    """End what a process that runs tests beside others has of its own."""
    if settings.cluster is not None:
        connections.close_all()
        settings.cluster.close()


#: The database that the project has; a test database has another name.
NOT_FOR_TESTS = connections["default"].settings_dict["NAME"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The test databases; at the end nobody may be in them, or it is told who, asking what."""
    from databinding.relay import stop_relays
    from databinding.testing.writer import Writer
    from tests import emptying

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Writer, "spawn", staticmethod(nursery.spawn))
        patched.setattr(TransactionTestCase, "_fixture_teardown", emptying.empty_all)
        # Where no test asks for one there is none.
        there = connections["default"].settings_dict["NAME"] != NOT_FOR_TESTS
        if there:
            with django_db_blocker.unblock():
                leave_keys_free()
                # What `migrate` has written the first test finds no more than any other.
                emptying.empty("default")
        yield
    stop_relays()
    if there and connections["default"].vendor == "postgresql":
        deadline = time.monotonic() + PATIENCE
        with django_db_blocker.unblock():
            while left := sessions_of_others():
                assert time.monotonic() < deadline, left
                time.sleep(0.05)


def leave_keys_free():
    """PostgreSQL's sequences come to none of the keys that tests choose themselves."""
    if connections["default"].vendor == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1000) "
                "FROM pg_sequences"
            )


def sessions_of_others():
    """Who else is connected to a test database, and what it asked last."""
    names = [connections[alias].settings_dict["NAME"] for alias in connections]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pid, application_name, backend_start, state, query FROM pg_stat_activity "
            "WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
            [names],
        )
        return cursor.fetchall()


@pytest.fixture(autouse=True)
def no_relay_left(_django_db_helper, executor_without_connections):
    """A relay belongs to the test whose database it reads; it stops before that is emptied."""
    from databinding.relay import stop_relays

    yield
    stop_relays()


@pytest.fixture(autouse=True)
def executor_without_connections():
    """Close what `sync_to_async` opened in its thread, which no request ends, and the library's."""
    from databinding.threads import close_connections

    yield
    close_connections()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def watching(transactional_db):
    """The bindings of tests.shapes.watching are registered, with their tables and triggers."""
    from databinding import triggers
    from databinding.relay import stop_relays
    from tests.shapes import tables, watching

    tables.make()
    watching.register()
    triggers.install("default")
    yield
    stop_relays()
    watching.unregister()
    tables.drop()
    triggers.install("default")


@pytest.fixture
def database(transactional_db):
    """The test database's file or name: for ORM calls here, and for other processes."""
    return connections["default"].settings_dict["NAME"]


@pytest.fixture
def start_server(database):
    """A function that starts a server on the test database: `start_server("daphne", **options)`."""
    servers = []

    def start(kind="uvicorn", **options):
        servers.append(Server(kind, database, **options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()
