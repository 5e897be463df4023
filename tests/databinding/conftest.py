import pytest

from databinding import capture
from databinding.binding import registry
from databinding.relay import stop_relays


@pytest.fixture(autouse=True)
def no_relay_left(_django_db_helper):
    """A relay belongs to the test whose database it reads; it stops before that is emptied."""
    yield
    stop_relays()


@pytest.fixture
def registry_as_it_was():
    """Bindings that a test declares are gone after it."""
    before = list(registry)
    capture.connect()
    yield
    registry[:] = before
    capture.bound_labels.cache_clear()
