import pytest

from databinding.relay import stop_relays
from tests.faults.conftest import no_periodic_jobs  # noqa: F401


@pytest.fixture(autouse=True)
def no_relay_left(_django_db_helper):
    """A relay belongs to the test whose database it reads; it stops before that is emptied."""
    yield
    stop_relays()
