"""Servers answer whatever their own description allows, and refuse what it doesn't.

Schemathesis makes requests from the OpenAPI document, by its rules and against them, one after the
other and in sequences where one's answer is the next one's row; every answer must be one that is
described. With others, and its own summary:

    SCHEMATHESIS_EXAMPLES=1000 SCHEMATHESIS_SECONDS=600 python -m pytest -s tests/rest
"""

import os
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.authtoken.models import Token

from tests.shapes.models import Account, Child, Message, Room
from values.models import BooleanValue, FloatValue, IntegerValue

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "5")
SECONDS = os.environ.get("SCHEMATHESIS_SECONDS", "20")
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
#: The primary keys that it tries most.
TRIED = (0, 1)
#: What isn't so, on purpose.
EXCLUDED = [
    # Strings are numbers where they look so, as everywhere in Django REST framework.
    "negative_data_rejection",
    # A name may be taken, a foreign key lead nowhere: no document can say which.
    "positive_data_acceptance",
    # A row that isn't there for one is not found, by nobody in particular either.
    "ignored_auth",
]


def schemathesis(address, folder, *arguments):
    """Let it run, and keep what it keeps in this folder; its summary is what is wrong."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", address, *arguments]
    command += ["--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", SEED]
    command += ["--exclude-checks", ",".join(EXCLUDED), "--no-color"]
    # They go on until somebody ends them: see test_event_streams.py.
    command += ["--exclude-path-regex", "/events$"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def faults(server):
    """What its log says from the first traceback on."""
    _, found, rest = server.log().partition("Traceback")
    return found + rest[:3000]


@pytest.mark.parametrize("known", [True, False], ids=["staff", "nobody"])
def test_the_projects_values(start_server, known, tmp_path):
    """The dashboard's resources, for who may write and for who may not."""
    for model, value in ((IntegerValue, 1), (FloatValue, 0.5), (BooleanValue, True)):
        for key in TRIED:
            model.objects.create(pk=key, name=f"pump {key}", value=value)
    with connection.cursor() as cursor:  # One that can't be read.
        cursor.execute("UPDATE values_floatvalue SET reported_at = '2026-13-45' WHERE id = 1")
    server = start_server("uvicorn")
    user = User.objects.create(username="ana", is_staff=True, is_superuser=True)
    token = Token.objects.create(user=user)
    header = ["--header", f"Authorization: Token {token.key}"] if known else []
    schemathesis(f"{server.url}/api/schema/", tmp_path, *header)
    assert faults(server) == ""


def test_rows_of_every_shape(start_server, tmp_path):
    """Keys and values of all types, relations, members and a stream that grants nothing."""
    for name in ("one", "two"):
        room = Room.objects.create(name=name)
    for key in TRIED:
        Message.objects.create(pk=key, room=room, text="a").tags.create(name="b")
        Child.objects.create(pk=key, title="a")
        Account.objects.create(pk=key)
    server = start_server("uvicorn", settings="tests.rest.settings")
    rooms = "-".join(str(room.pk) for room in Room.objects.all())
    schemathesis(f"{server.url}/rooms/{rooms}/schema/", tmp_path)
    assert faults(server) == ""
