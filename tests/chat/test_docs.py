"""What the documentation says of the chat."""

import ast
import re

from chat.models import LEASE
from chat.throttles import Sending
from tests.servers import CHECKOUT


def lines_of_code(path):
    """Lines with code: neither empty, nor comments, nor docstrings."""
    lines = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.stmt):
            begins = [node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]
            lines.update(begins if hasattr(node, "body") else range(begins[0], node.end_lineno + 1))
    return len(lines)


def test_the_guide_says_how_many_lines_it_takes():
    """The lines of code of bindings and consumers are as many as the guide to the chat says."""
    guide = (CHECKOUT / "docs" / "howto" / "chat.md").read_text()
    (said,) = re.findall(r"live takes (\d+) lines of Python", " ".join(guide.split()))
    files = ("bindings.py", "consumers.py")
    assert sum(lines_of_code(CHECKOUT / "chat" / name) for name in files) == int(said)


def test_the_code_in_the_guide_is_the_chats():
    """The demultiplexer that the guide shows stands so in the code."""
    guide = (CHECKOUT / "docs" / "howto" / "chat.md").read_text()
    (example, jobs) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert example in (CHECKOUT / "chat" / "consumers.py").read_text()
    assert jobs in (CHECKOUT / "dashboard" / "settings.py").read_text()


def test_the_guide_knows_limits_and_leases():
    """The numbers in the guide are those in force."""

    guide = " ".join((CHECKOUT / "docs" / "howto" / "chat.md").read_text().split())
    assert f"lease of {LEASE.seconds} seconds" in guide
    assert f"More than {Sending.rate.removesuffix('/min')} messages a minute" in guide
