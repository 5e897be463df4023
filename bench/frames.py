"""What every peer sends for a changed row: the frame of Channels 1's bindings."""

import json


def frame(name, value, action="update"):
    data = {"name": name, "value": value}
    payload = {"action": action, "pk": 1, "data": data, "model": "values.integervalue"}
    return {"stream": "intval", "payload": payload}


def text(name, value):
    """114 letters or so."""
    return json.dumps(frame(name, value), separators=(",", ":"))


def name_of(value, rows):
    """The row that a value is written to: each in its turn, so that values in a row only grow."""
    return f"row{value % rows}"
