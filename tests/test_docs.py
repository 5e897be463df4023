"""The documentation says what is there."""

import json
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from databinding import checks
from databinding.admin import checks as admin_checks
from databinding.conf import DEFAULTS
from databinding.metrics import FAMILIES
from databinding.protocol import CloseCode
from tests import screenshots

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *CHECKOUT.glob("docs/**/*.md")]


def text(*path):
    return CHECKOUT.joinpath(*path).read_text()


def first_cells(page):
    """The first cell of each row of the page's tables, without its back-quotes and marks."""
    return [cell.strip("` ●") for cell in re.findall(r"^\| ?([^|]+?) ?\|", page, re.MULTILINE)]


def test_every_setting_is_documented_with_its_default():
    """The page of the settings has a row for each, with the default that is in force."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", text("docs/reference/settings.md"), re.M)
    assert {name: eval(default) for name, default in rows} == DEFAULTS


def test_every_check_is_documented():
    """The page of the checks and the modules' docstrings name the same ids as the code."""
    page, every = text("docs/reference/checks.md"), set()
    for module in (checks, admin_checks):
        used = set(re.findall(r'id="(databinding\.\w+)"', Path(module.__file__).read_text()))
        assert set(re.findall(r"databinding\.[EW]\d+", module.__doc__)) == used
        every |= used
    assert set(re.findall(r"databinding\.[EW]\d+", page)) == every


def test_every_close_code_is_documented():
    """The page of the wire names each code with which a socket is closed."""
    cells = " ".join(first_cells(text("docs/reference/protocol.md")))
    assert {code for code in CloseCode if str(code.value) not in cells} == set()


def test_every_command_is_documented():
    """The page of the commands names each that the project adds to Django's."""
    ours = {
        name
        for name, app in get_commands().items()
        if app in ("databinding", "values", "chat", "dashboard")
    }
    page = text("docs/reference/commands.md")
    assert {name for name in ours if f"manage.py {name}" not in page} == set()


def test_every_metric_is_documented():
    """The page of the metrics has a row for each, with its kind."""
    rows = re.findall(
        r"^\| `(databinding_\w+)` \| (\w+) \|", text("docs/reference/metrics.md"), re.M
    )
    kinds = {name: kind(name, "").type for name, (kind, _, _) in FAMILIES.items()}
    assert dict(rows) == kinds
    assert len(rows) == len(kinds)


def test_the_binding_in_the_readme_is_the_one_that_is_tested():
    """The README's example is the talk's code, line for line."""
    (example,) = re.findall(r"```python\n(.*?)```", text("README.md"), re.DOTALL)
    tested = text("tests/talk/bindings.py").split('"""', 2)[2]
    assert example.strip() == tested.strip()


def test_the_readme_shows_each_picture():
    """Those that `scripts/screenshots` takes are there, small, and shown with what they show."""
    shown = re.findall(r"!\[(.+?)\]\(docs/pictures/(.+?)\.png\)", text("README.md"))
    assert {name: words for words, name in shown} == screenshots.PICTURES
    assert len(shown) == len(screenshots.PICTURES)
    files = {path.stem: path.read_bytes() for path in screenshots.FOLDER.glob("*.png")}
    assert set(files) == set(screenshots.PICTURES)
    for png in files.values():
        assert png.startswith(b"\x89PNG")
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
        assert width >= 390
        assert height >= 390
    assert sum(map(len, files.values())) <= screenshots.MOST


def test_it_is_known_what_the_pictures_show(monkeypatch, capsys):
    """`scripts/screenshots --check` tells whether what they were taken of has changed since."""
    monkeypatch.setattr(
        screenshots, "sources", lambda: json.loads(text("docs/pictures/made.json"))["sources"]
    )
    assert screenshots.check() == 0
    monkeypatch.setattr(screenshots, "sources", lambda: "others")
    assert screenshots.check() == 1
    assert "are of other sources: run scripts/screenshots" in capsys.readouterr().out


def test_the_ladder_shows_files_that_are_there():
    """Each piece of Python in it is a file as a whole or, said to be "from" it, lines of it."""
    page = text("docs/tutorial/websockets.md")
    pieces = re.findall(r"([Ff]rom\s)?`([\w/]+\.py)`:\n\n```python\n(.*?)```", page, re.DOTALL)
    assert len(pieces) == page.count("```python") > 0
    for part, file, piece in pieces:
        assert piece in text(file) if part else piece == text(file), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every relative link in the documentation names a file or folder that is there."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
