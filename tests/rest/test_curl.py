"""The commands with curl in the documentation print what it says they print."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.servers import CHECKOUT, PATIENCE, environment
from values.models import IntegerValue

#: An indented command (a backslash at the end of a line continues it), and what it prints.
EXAMPLE = re.compile(r"^    \$ (?P<command>.+)\n(?P<printed>(?:^    (?!\$ ).*\n)*)", re.MULTILINE)
#: What is printed between two commands, to tell whose output is whose.
BETWEEN = "<<next>>"


@pytest.fixture(params=["theirs", "ours"] if shutil.which("curl") else ["ours"])
def programs(request, tmp_path):
    """A folder for the front of PATH, with the Python that has the project and perhaps our curl."""
    folder = tmp_path / "bin"
    folder.mkdir()
    found = {"python": sys.executable}
    if request.param == "ours":
        found["curl"] = f"{sys.executable} {CHECKOUT / 'tests' / 'curl.py'}"
    for name, command in found.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def as_pattern(printed):
    """What is printed, where … stands for anything."""
    return ".*".join(map(re.escape, printed.split("…")))


def test_the_commands_print_what_is_said(
    django_db_reset_sequences, database, start_server, programs
):
    """Who types them in, one after the other, gets these answers."""
    IntegerValue.objects.create(name="pump", value=1)
    IntegerValue.objects.create(name="valve", value=7)
    User.objects.create(username="ana", is_staff=True, is_superuser=True)
    server = start_server("uvicorn")
    page = Path(CHECKOUT, "docs", "reference", "rest.md").read_text()
    examples = list(EXAMPLE.finditer(page.replace("http://127.0.0.1:8000", server.url)))
    assert len(examples) == page.count("\n    $ ") > 10
    known = environment(database)
    done = subprocess.run(
        ["bash", "-e", "-c", f"\nprintf '%s' '{BETWEEN}'\n".join(e["command"] for e in examples)],
        env=known | {"PATH": f"{programs}:{known['PATH']}"},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        text=True,
        check=True,
    )
    answers = done.stdout.split(BETWEEN)
    for example, answer in zip(examples, answers, strict=True):
        said = re.sub(r"^    ", "", example["printed"], flags=re.MULTILINE)
        pattern = re.compile(as_pattern(said.strip()), re.DOTALL | re.IGNORECASE)
        assert pattern.fullmatch(answer.replace("\r", "").strip()), (example["command"], answer)
