"""The shell scripts, as a developer meets them."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.servers import CHECKOUT, PATIENCE, reserve_port

SCRIPTS = [*sorted((CHECKOUT / "scripts").iterdir()), CHECKOUT / ".ci" / "run"]


def run(*arguments, **variables):
    return subprocess.run(
        [CHECKOUT / "scripts" / "run", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    """Each script can be parsed by bash and, unless it is only sourced, executed."""
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK) or script.suffix == ".sh"


def test_help_names_the_options():
    """`scripts/run --help` says what it does and which options there are, and does nothing."""
    said = run("--help")
    assert said.returncode == 0
    assert said.stdout.startswith("The live dashboard on this machine")
    assert {"--port", "--no-feed", "--help"} <= set(said.stdout.split())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("bench", ["--quick", "plots", "tiles"]),
        ("failures", ["LOG…"]),
        ("screenshots", ["--check", "docs/pictures/*.png,"]),
        ("soak", ["[MINUTES]", "[--seed"]),
        ("test", ["PYTEST_ARGUMENT…"]),
    ],
)
def test_help_of_the_others(script, said):
    """The other scripts say what they are for, too, before they install or start anything."""
    process = subprocess.run(
        [CHECKOUT / "scripts" / script, "--help"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert process.returncode == 0
    assert set(said) <= set(process.stdout.split())


#: A test that fails in each way that there is, as pytest is run by `scripts/test`.
FAILING = """
import pytest

def deep():
    raise ValueError("the cause")

def test_wrong():
    assert list(range(100)) == [1, 2], "what it is about"

def test_broken():
    deep()

@pytest.fixture
def console():
    yield
    assert [] == ["an error on the console"]

def test_after(console):
    pass
"""


def gist(*logs):
    return subprocess.check_output([CHECKOUT / "scripts" / "failures", *logs], text=True)


def test_what_failed_is_told_in_few_lines(tmp_path):
    """Of a log of pytest each failure is told, with where and what; of others their last lines."""
    (tmp_path / "test_some.py").write_text(FAILING)
    pytest_log, other_log = tmp_path / "pytest.log", tmp_path / "other.log"
    with pytest_log.open("w") as log:
        alone = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--tb=short"]
        command = [sys.executable, "-m", "pytest", *alone, tmp_path]
        assert subprocess.run(command, cwd=tmp_path, stdout=log).returncode == 1
    other_log.write_text("".join(f"line {number}\n" for number in range(40)))
    said = gist(pytest_log, other_log).splitlines()
    for name in ("wrong", "broken"):
        assert any(line.startswith(f"FAILED test_some.py::test_{name}") for line in said)
    assert any(line.startswith("ERROR test_some.py::test_after") for line in said)
    assert "E   ValueError: the cause" in said
    assert "E   AssertionError: what it is about" in said
    assert "E   AssertionError: assert [] == ['an error on the console']" in said
    assert "test_some.py:8: in test_wrong" in said
    assert said[-15:] == [f"line {number}" for number in range(25, 40)]
    many = gist(*[pytest_log] * 9).splitlines()
    assert (len(many), many[-1]) == (61, "… and more, above")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--prot", "80"], "unknown option --prot"),
        (["--port"], "--port wants a number"),
        (["--port", "http"], "--port wants a number"),
    ],
)
def test_a_wrong_option_is_named(arguments, complaint):
    """A wrong option ends in a sentence that names it."""
    said = run(*arguments)
    assert said.returncode == 1
    assert complaint in said.stderr


def test_a_taken_port_is_named():
    """Where something listens already, that is said before anything is installed or started."""
    with reserve_port() as other:
        other.listen()
        port = str(other.getsockname()[1])
        said = run("--port", port)
    assert said.returncode == 1
    assert f"Port {port} is taken" in said.stderr


@contextmanager
def started(folder):
    """`scripts/run` on an empty database, as far as its page; yields it, its processes (the server
    first, then the feed), and what it said. All of them must end inside; if something fails there
    first, they are ended here."""
    with reserve_port() as reservation:
        port = reservation.getsockname()[1]
        script = subprocess.Popen(
            [CHECKOUT / "scripts" / "run", f"--port={port}"],
            env=os.environ | {"DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with script:
            try:
                said = ""
                while f"open http://127.0.0.1:{port}/" not in said:
                    line = script.stdout.readline()
                    assert line, said
                    said += line
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
                    assert response.status == 200
                # Not theirs: Python looks for C's library, for inotify, by a program of its own.
                children = psutil.Process(script.pid).children()
                assert len(children) == 2
                yield script, sorted(children, key=psutil.Process.create_time), said
                assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(script.pid, signal.SIGKILL)
                raise


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_and_stops_everything(tmp_path, stop, status):
    """From an empty database to a served page with a password for `demo`; Ctrl-C, or SIGTERM to
    the script alone, ends every process."""
    with started(tmp_path) as (script, _, said):
        assert re.search(r"Log in as demo with the password \S{10}", said)
        if stop == signal.SIGINT:  # a terminal's Ctrl-C reaches the whole group
            os.killpg(script.pid, stop)
        else:
            script.send_signal(stop)
        assert script.wait(timeout=PATIENCE) == status
        assert "Traceback" not in said + script.stdout.read()


def test_a_server_that_dies_is_told(tmp_path):
    """Where the server is killed, the script says so and stops the feed too."""
    with started(tmp_path) as (script, (server, _), _):
        server.kill()
        assert script.wait(timeout=PATIENCE) == 1
        assert "The server ended (status 137)" in script.stdout.read()
