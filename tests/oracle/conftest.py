import pytest

from tests.oracle.shapes import shapes_server


@pytest.fixture(autouse=True)
def watched(watching):
    """All of the tests' shapes are bound, with their triggers."""


@pytest.fixture
def start_servers(database):
    """A function that starts so many servers of the shapes on the test database."""
    servers = []

    def start(count=1, kind="uvicorn", **more):
        started = [shapes_server(database, kind, **more) for _ in range(count)]
        servers.extend(started)
        for server in started:
            server.start()
        return started

    yield start
    for server in servers:
        server.close()
