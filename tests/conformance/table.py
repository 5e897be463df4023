"""The table of docs/reference/writes.md: read, merged with what tests found, written."""

import re

from tests.servers import CHECKOUT

from .writes import WRITES

PAGE = CHECKOUT / "docs" / "reference" / "writes.md"
#: What stands around the part that is generated.
BEGIN, END = "<!-- found by tests/conformance: begin -->\n", "<!-- end -->\n"
CAPTURES = ("triggers", "signals")
VENDORS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
COLUMNS = [(capture, vendor) for capture in CAPTURES for vendor in VENDORS]
#: What stands above the names of the writes.
HEAD = "write"
#: What may stand in a cell.
AT_ONCE, REFRESH, UNSEEN, NONE = "at once", "by refresh", "**unseen**", "n/a"


def read():
    """What the page says: cells by name of the write and column."""
    _, _, rest = PAGE.read_text().partition(BEGIN)
    cells = {}
    for line in rest.partition(END)[0].splitlines():
        parts = re.split(r"(?<!\\) \| ", line.strip("| "))
        if len(parts) == 1 + len(COLUMNS) and parts[0] != HEAD:
            name = parts[0].replace(r"\|", "|")
            cells |= {(name, column): cell for column, cell in zip(COLUMNS, parts[1:], strict=True)}
    return cells


def write(found):
    """Put what was found into the page; cells of which nothing was found stay as they are."""
    cells = read() | found
    text = []
    section = None
    for one in WRITES:
        if one.section != section:
            section = one.section
            text += ["", f"## {section}", "", _line(HEAD, *map(_heading, COLUMNS))]
            text += ["|---" * (1 + len(COLUMNS)) + "|"]
        row = (cells.get((one.name, column), "?") for column in COLUMNS)
        text.append(_line(one.name.replace("|", r"\|"), *row))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + "\n".join([*text, "", END]) + after)


def _heading(column):
    return f"{column[0]}, {VENDORS[column[1]]}"


def _line(*cells):
    return f"| {' | '.join(cells)} |"
