import pytest

from databinding.relay import stop_relays


@pytest.fixture(autouse=True)
def no_relay_left():
    """A relay belongs to the test whose database it reads."""
    yield
    stop_relays()
