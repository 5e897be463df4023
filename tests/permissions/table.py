"""Who may do what, to which row: the table of docs/reference/permissions.md, and of its tests.

It is about the binding that the page shows (`tests.writing.bindings.NoteBinding`).
`python -m tests.permissions.table` writes the page's table anew.
"""

from pathlib import Path

from tests.servers import CHECKOUT

PAGE = Path(CHECKOUT, "docs", "reference", "permissions.md")
BEGIN, END = "<!-- from tests/permissions/table.py: begin -->\n", "<!-- end -->\n"

#: Who asks, and as what the page names them.
CALLERS = {
    "nobody": "nobody",
    "reader": "a user without rights",
    "writer": "a user with rights",
    "program": "his token",
    "staff": "staff",
    "deactivated": "a deactivated user",
    "revoked": "a token that isn't good",
}
#: What they do and to what, and where it can be done.
DOORS = {
    "subscribe": ("websocket", "events", "page"),
    "list": ("websocket", "rest"),
    "retrieve": ("websocket", "rest"),
    "create": ("websocket", "rest"),
    "create, invalid": ("websocket", "rest"),
    "update": ("websocket", "rest"),
    "update, invalid": ("websocket", "rest"),
    "update, outdated": ("websocket", "rest"),
    "delete": ("websocket", "rest"),
    "archive": ("websocket", "rest"),
}
ROWS = {
    "": "",
    "own": "one's own",
    "shared": "another's that is shared",
    "hidden": "another's that isn't",
    "none": "none that there is",
}

_ = None  # Who isn't known has none of his own.
#: The status of each answer, by action and row, in the order of the callers.
TABLE = {
    # .                       nobody reader writer program staff deactivated revoked
    ("subscribe", ""):         (401, 200, 200, 200, 200, 401, 401),
    ("list", ""):              (401, 200, 200, 200, 200, 401, 401),
    ("retrieve", "own"):       (_,   200, 200, 200, 200, 404, 401),
    ("retrieve", "shared"):    (401, 200, 200, 200, 200, 401, 401),
    ("retrieve", "hidden"):    (404, 404, 404, 404, 200, 404, 401),
    ("retrieve", "none"):      (404, 404, 404, 404, 404, 404, 401),
    ("create", ""):            (401, 403, 201, 201, 201, 401, 401),
    ("create, invalid", ""):   (401, 403, 400, 400, 400, 401, 401),
    ("update", "own"):         (_,   403, 200, 200, 200, 404, 401),
    ("update", "shared"):      (401, 403, 403, 403, 200, 401, 401),
    ("update", "hidden"):      (404, 404, 404, 404, 200, 404, 401),
    ("update", "none"):        (404, 404, 404, 404, 404, 404, 401),
    ("update, invalid", "own"):  (_, 403, 400, 400, 400, 404, 401),
    ("update, outdated", "own"): (_, 403, 409, 409, 409, 404, 401),
    ("delete", "own"):         (_,   403, 204, 204, 204, 404, 401),
    ("delete", "shared"):      (401, 403, 403, 403, 204, 401, 401),
    ("delete", "hidden"):      (404, 404, 404, 404, 204, 404, 401),
    ("delete", "none"):        (404, 404, 404, 404, 404, 404, 401),
    ("archive", "own"):        (_,   403, 200, 200, 200, 401, 401),
    ("archive", "shared"):     (401, 403, 403, 403, 200, 401, 401),
    ("archive", "hidden"):     (401, 403, 403, 403, 200, 401, 401),
}  # fmt: skip

#: What a door says by another status than the others.
OTHERWISE = {("update, outdated", "rest"): {409: 412}}

#: What happens while a websocket and an event stream are open, and what becomes of them: the code
#: with which the websocket is closed; the status that is answered to the event stream, which ends,
#: when it comes back; or what they are sent.
MEANWHILE = {
    "logout": (4401, 401),
    "deactivation": (4401, 401),
    "another password": (4401, 401),
    "removal of the account": (4401, 401),
    "the token is revoked": (4401, 401),
    "a row is no longer shared": ("delete", "delete"),
    "a row is shared": ("create", "create"),
    "becoming staff": ("create", "create"),
}
SENT = {
    "delete": "`delete` of the row",
    "create": "`create` of what he sees now",
}

NAMES = {
    "websocket": "websocket",
    "events": "event stream",
    "page": "served page",
    "rest": "REST",
}


def statuses(caller, door):
    """What this caller is answered at this door, by action and row."""
    place = list(CALLERS).index(caller)
    return {
        key: OTHERWISE.get((key[0], door), {}).get(row[place], row[place])
        for key, row in TABLE.items()
        if door in DOORS[key[0]] and row[place] is not None
    }


def written():
    """The table as it stands in the page."""
    heads = ["action", "row", *CALLERS.values(), "where"]
    lines = [heads, ["---"] * len(heads)]
    for (action, row), found in TABLE.items():
        said = "custom `@action`" if action == "archive" else f"`{action.split(',')[0]}`"
        said += f",{action.partition(',')[2]}" if "," in action else ""
        where = ", ".join(NAMES[door] for door in DOORS[action])
        cells = ["n/a" if status is None else f"{status}" for status in found]
        for door in DOORS[action]:
            for usual, other in OTHERWISE.get((action, door), {}).items():
                cells = [f"{c}, {NAMES[door]} {other}" if c == str(usual) else c for c in cells]
        lines.append([said, ROWS[row], *cells, where])
    return _table(lines)


def meanwhile_written():
    lines = [["while it is open", "websocket", "event stream"], ["---"] * 3]
    for event, (websocket, events) in MEANWHILE.items():
        lines.append(
            [
                event,
                SENT.get(websocket, f"closed with {websocket}"),
                SENT.get(events, f"ends; {events} when it comes back"),
            ]
        )
    return _table(lines)


def _table(lines):
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main():
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{both()}\n{END}{after}")


def both():
    """The two tables, as they stand in the page."""
    return f"{written()}\n## While a connection is open\n\n{meanwhile_written()}"


if __name__ == "__main__":
    main()
