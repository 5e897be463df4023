import subprocess

import pytest

from tests.servers import command


@pytest.fixture
def start_program():
    """A function that runs code in a `manage.py shell` of its own, on a database, to be killed."""
    processes = []

    def start(database, code):
        options = {"stdin": subprocess.PIPE, "bufsize": 1}
        processes.append(
            command(database, "shell", "--verbosity", "0", "--command", code, **options)
        )
        return processes[-1]

    yield start
    for process in processes:
        with process:
            process.kill()


@pytest.fixture(autouse=True)
def no_periodic_jobs(monkeypatch):
    """Servers do what the tests have them do: summing up samples once a minute takes 20 MB."""
    monkeypatch.setenv("RUN_PERIODIC_JOBS", "off")
