"""The oracle as the documentation tells it, and scripts/soak."""

import re
import subprocess
import sys

import pytest

from tests import soak
from tests.servers import CHECKOUT, environment

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds for a few programs, on a busy machine.
PATIENCE = 270


def test_the_documented_program_runs(tmp_path, database, start_server):
    """The reference's example, run as it says, finds nothing wrong with the project."""
    page = (CHECKOUT / "docs" / "reference" / "testing.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "converge.py").write_text(example)
    server = start_server()
    paths = f"{tmp_path}:{CHECKOUT}"
    done = subprocess.run(
        [sys.executable, "-m", "converge", server.websocket_url],
        env=environment(database, PYTHONPATH=paths),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "programs     3\n" in done.stdout
    assert "violations   0" in done.stdout


def run_soak(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


SMALL = ["--database=sqlite", "--no-redis", "--servers=1", "--writers=2", "--clients=4"]


@pytest.mark.sqlite
def test_a_soak_ends_with_a_report():
    """It runs programs until its time is over, tells each seed, and ends with exit status 0."""
    done = run_soak("0.05", *SMALL, "--steps=100", "--seed=5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "program 1, seed 5 " in done.stdout
    assert "violations   0" in done.stdout
    assert "p99" in done.stdout


@pytest.mark.sqlite
def test_a_soak_that_finds_something_fails(monkeypatch):
    """With a fault planted into the servers it ends with exit status 1, a program and its seed."""
    monkeypatch.setenv("ORACLE_FAULT", "rows_before_keys")
    done = run_soak("2", *SMALL, "--attempts=3", "--faults=none")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "replaying it with fewer steps" in done.stdout
    assert re.search(r"in the program of seed \d+, \d+ steps:", done.stdout)
    assert "violations   1" in done.stdout


def test_an_unknown_fault_is_named(capsys):
    """A fault that isn't there is refused before anything is started."""
    with pytest.raises(SystemExit):
        soak.parse(["--faults", "server,flood"])
    assert "no such fault: flood" in capsys.readouterr().err
