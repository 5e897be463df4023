import pytest

from tests.client.peer import Peer
from tests.servers import reserve_port


@pytest.fixture
def away():
    """A peer that isn't there: `async with away` it is. Nobody else gets its port meanwhile."""
    with reserve_port() as reservation:
        yield Peer(port=reservation.getsockname()[1])
