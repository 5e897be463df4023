"""What the client gives to programs, and says of it."""

from pathlib import Path

from databinding import client
from databinding.client.command import Exit

PAGE = (Path(__file__).parents[2] / "docs/reference/python.md").read_text()


def test_the_names_to_import_are_these():
    """Other names may change; these are documented."""
    assert client.__all__ == [
        "Change",
        "ClosedError",
        "DatabindingError",
        "Event",
        "NotSentError",
        "Options",
        "ProtocolError",
        "RequestError",
        "UnknownOutcomeError",
        "connect",
    ]
    assert {name for name in client.__all__ if name not in PAGE} == set()
    assert all(hasattr(client, name) for name in client.__all__)


def test_every_exit_status_is_documented():
    """The page has a row for each exit status of the command."""
    assert {status for status in Exit if f"\n| {status.value} | " not in PAGE} == set()
