"""The ladder of docs/tutorial/websockets.md: what there is to type, and what is to be seen."""

import re
import shlex
from typing import NamedTuple

from tests.servers import CHECKOUT


class Rung(NamedTuple):
    """A section of the tutorial: what is to be typed and what is to be seen, in its order."""

    commands: list[list[str]]  # the arguments of `.venv/bin/python`
    scripts: list[str]
    shown: list[str]


def rung(number):
    """The section of that number."""
    page = (CHECKOUT / "docs" / "tutorial" / "websockets.md").read_text()
    section = re.split(r"^## \d\. ", page, flags=re.MULTILINE)[number]
    commands = re.findall(r"^    \.venv/bin/python (.+)$", section, re.MULTILINE)
    return Rung(
        [shlex.split(command) for command in commands],
        re.findall(r"```js\n(.*?)```", section, re.DOTALL),
        re.findall(r"```text\n(.*?)```", section, re.DOTALL),
    )
