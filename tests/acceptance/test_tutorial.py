"""The tutorial works as it stands: its commands and files, in order, with the built package."""

import asyncio
import os
import re
import shlex
import subprocess
import sys

import pytest
from playwright.async_api import expect

from tests.servers import CHECKOUT, PATIENCE

#: The tutorial's steps: a file's name in back-quotes and its contents, or an indented command.
STEPS = re.compile(
    r"`(?P<file>\w+/[\w/.]+\.(?:py|html))`(?:(?!```).)*?```\w+\n(?P<text>.*?)```"
    r"|^    \.venv/bin/(?P<command>[^\n]+)$",
    re.DOTALL | re.MULTILINE,
)
#: Commands that the test gives an answer or a port.
ELSEWHERE = ("pip install", "python manage.py runserver", "python manage.py shell")


@pytest.fixture
def package(tmp_path):
    """A folder with the package as pip installs it; what it depends on is here already."""
    folder = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--target", folder, CHECKOUT],
        check=True,
    )  # fmt: skip
    return folder


def run(command, folder, package):
    """Run one of the tutorial's commands in the folder to its end; return what it printed."""
    program, *arguments = shlex.split(command)
    programs = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"]}
    if "createsuperuser" in arguments:
        arguments.append("--noinput")
    answers = {"USERNAME": "ana", "PASSWORD": "correct horse", "EMAIL": "ana@example.com"}
    environment = os.environ | {f"DJANGO_SUPERUSER_{name}": text for name, text in answers.items()}
    environment.pop("DJANGO_SETTINGS_MODULE")
    return subprocess.run(
        [*programs[program], *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(package)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    ).stdout


async def test_the_tutorial_leads_to_a_live_page(start_server, open_page, package, tmp_path):
    """Who types it in literally sees a shell's `update()` on the page, and after an outage too."""
    folder = tmp_path / "tutorial"
    folder.mkdir()
    update, printed = None, ""
    tutorial = (CHECKOUT / "docs" / "tutorial" / "first-binding.md").read_text()
    for step in STEPS.finditer(tutorial):
        if step["file"]:
            file = folder / step["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a" if file.name == "settings.py" else "w") as written:
                written.write(step["text"])
        elif not step["command"].startswith(ELSEWHERE):
            printed += await asyncio.to_thread(run, step["command"], folder, package)
        elif " shell " in step["command"]:
            update = step["command"]
    assert "trigger" in printed

    server = start_server(
        "runserver", settings="site1.settings", folder=folder, PYTHONPATH=str(package)
    )
    page = await open_page(server.url)
    admin = await open_page(server.url + "/admin/pumps/pump/add/")
    await admin.fill("#id_username", "ana")
    await admin.fill("#id_password", "correct horse")
    await admin.keyboard.press("Enter")
    await admin.fill("#id_name", "north")
    await admin.click("[name=_save]")
    await expect(page.locator("li")).to_have_text(["north: 0 rpm"])
    await expect(admin.locator(".messagelist")).to_contain_text("was added successfully")

    await asyncio.to_thread(run, update, folder, package)
    await expect(page.locator("li")).to_have_text(["north: 1500 rpm"])

    board = await open_page(server.url + "/board/")
    await expect(board.locator("p").first).to_have_text("North runs at 1,500 rpm.")
    await expect(board.locator("live-table tbody tr")).to_have_text("north1,500")

    await admin.goto(server.url + "/admin/pumps/pump/1/change/")
    await admin.wait_for_function("() => document.body.dataset.live === 'live'")
    listed = await admin.context.new_page()
    await listed.goto(server.url + "/admin/pumps/pump/")
    await expect(listed.locator(".live-here")).to_contain_text("ana")
    await admin.fill("#id_rpm", "1400")
    await asyncio.to_thread(run, update.replace("1500", "1550"), folder, package)
    await expect(listed.locator("#id_form-0-rpm")).to_have_value("1550")
    await expect(admin.locator(".live-mark")).to_contain_text("now 1550")
    await admin.click("[name=_save]")
    await expect(admin.locator(".live-conflict")).to_contain_text("Before 1500")
    await admin.get_by_label("Use yours").check()
    await admin.click("[name=_save]")
    await expect(board.locator("p").first).to_have_text("North runs at 1,400 rpm.")
    await expect(admin.locator(".messagelist")).to_contain_text("was changed successfully")
    await admin.wait_for_function("() => document.body.dataset.live === 'live'")

    server.kill()
    later = update.replace("1500", "1600")
    await asyncio.to_thread(run, later, folder, package)
    await asyncio.to_thread(server.start)
    await expect(page.locator("li")).to_have_text(["north: 1600 rpm"])
    await expect(board.locator("p").first).to_have_text("North runs at 1,600 rpm.")
