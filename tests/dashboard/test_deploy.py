"""The guide to deployment and the files that it hands out."""

import os
import re
import secrets
import shlex
import subprocess
import sys
import urllib.request

import pytest
from django.core.management import get_commands

from dashboard import settings
from databinding.metrics import FAMILIES
from tests.servers import CHECKOUT, COMMANDS, Server

HOWTO = CHECKOUT / "docs" / "howto"
GUIDE = (HOWTO / "deploy.md").read_text()
NGINX = (HOWTO / "deploy" / "nginx.conf").read_text()
UNIT = (HOWTO / "deploy" / "databinding@.service").read_text()
ENVIRONMENT = (HOWTO / "deploy" / "databinding.env").read_text()


def unit_command():
    """What the unit starts, as words."""
    (line,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", UNIT, re.MULTILINE)
    return shlex.split(line.replace("\\\n", " "))


def test_the_command_of_the_unit_serves(database, monkeypatch):
    """What systemd would start answers at the instance's port, and ends when it is told to."""
    words = [word.replace("%i", "{port}") for word in unit_command()]
    assert words.pop(0) == "/srv/databinding/.venv/bin/python"
    monkeypatch.setitem(COMMANDS, "unit", " ".join(words))
    server = Server("unit", database)
    try:
        server.start()
        with urllib.request.urlopen(f"{server.url}/healthz") as response:
            assert response.status == 200
        server.stop()
        assert "Traceback" not in server.log()
    finally:
        server.close()


def test_it_serves_as_scripts_run_does():
    """The units' websocket options are those that are measured and tested everywhere else."""
    words = unit_command()
    for option in ("--ws", "--ws-per-message-deflate", "--ws-max-size"):
        value = words[words.index(option) + 1]
        assert f"{option} {value}" in (CHECKOUT / "scripts" / "run").read_text()
        assert f"{option} {value}" in COMMANDS["uvicorn"]


def test_the_environment_is_what_the_settings_read():
    """Every variable in the example is one of the settings', each named where they are listed."""
    names = re.findall(r"^(\w+)=", ENVIRONMENT, re.MULTILINE)
    assert len(names) >= 5
    documented = re.findall(r"^([A-Z_]+)  ?", settings.__doc__, re.MULTILINE)
    assert set(names) <= set(documented)


def of_environment(text):
    """The variables of the example, each … something long and random."""
    found = dict(re.findall(r"^(\w+)='?(.*?)'?$", text, re.MULTILINE))
    return {name: value.replace("…", secrets.token_urlsafe(50)) for name, value in found.items()}


def manage(*arguments, **variables):
    """Run `manage.py` with the example's environment to its end; return what it said."""
    given = os.environ | of_environment(ENVIRONMENT) | variables
    given["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    process = subprocess.run(
        [sys.executable, CHECKOUT / "manage.py", *arguments],
        env=given,
        capture_output=True,
        text=True,
    )
    return process.stdout + process.stderr


def test_the_deployment_check_has_nothing_to_say():
    """With the guide's environment `check --deploy` is silent; without TLS it isn't."""
    check = ("check", "--deploy", "--fail-level", "WARNING")
    said = manage(*check)
    assert "System check identified no issues (0 silenced)." in said, said
    assert "security.W004" in manage(*check, HTTPS="off")
    assert "security.W005" in manage(*check, HSTS_SUBDOMAINS="off")


def test_the_ports_are_the_same_everywhere():
    """nginx passes on to the ports that the guide starts and restarts."""
    (started,) = re.findall(r"systemctl enable --now (.+)", GUIDE)
    (restarted,) = re.findall(r"for port in ([\d ]+); do", GUIDE)
    ports = re.findall(r"@(\d+)", started)
    assert ports
    assert restarted.split() == ports
    assert re.findall(r"^    server 127\.0\.0\.1:(\d+) max_fails=0;$", NGINX, re.MULTILINE) == ports


@pytest.mark.parametrize(
    "line",
    [
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $connection_upgrade;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "location = /metrics { return 404; }",
        "location = /readyz { return 404; }",
    ],
)
def test_nginx_passes_on_what_websockets_need(line):
    """Without these lines there is no websocket, a foreign origin, or metrics for everybody."""
    assert f"    {line}\n" in NGINX


def test_what_is_watched_is_there():
    """Every metric in the alerts is one that is served; every command in the guide is there."""
    rules = GUIDE.partition("## What to watch")[2]
    watched = set(re.findall(r"\bdatabinding_\w+", rules)) - {"databinding_status"}
    served = set(FAMILIES)
    for name in FAMILIES:
        served |= {f"{name}_sum", f"{name}_count"}
    assert len(watched) >= 8
    assert watched <= served
    commands = set(re.findall(r"manage\.py (\w+)", GUIDE))
    assert "databinding_new_epoch" in commands
    assert commands <= set(get_commands())
