"""A process that writes as it is told: ``python -m databinding.testing.worker NAMES``.

NAMES is a JSON object of database names by alias: those of a test's databases. Each line that it
reads is ``{"write": "module:function", "seed": N}``, optionally with ``"stamp"``, ``"writer"`` and
``"number"``; it answers each with a line, see `Answer`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import django
from django.db import DatabaseError, InterfaceError, OperationalError, connections

#: What another attempt may get over: a lock, a deadlock, a database that is away for a moment.
AGAIN = (OperationalError, InterfaceError)
ATTEMPTS = 4


class Answer(dict[str, Any]):
    """``retries`` and ``refused``: names of the errors; ``stamp``: pk, number, seconds."""


def find(name: str) -> Callable[..., Any]:
    """The function that is called ``module:function``."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def attempt(write: Callable[[], Any], answer: Answer) -> Any:
    """Do it, again where that may help; what it returns. Notes in the answer what went wrong."""
    from django.core.exceptions import ObjectDoesNotExist

    for number in range(ATTEMPTS):
        try:
            return write()
        except (*AGAIN, DatabaseError, ObjectDoesNotExist) as error:
            last = number == ATTEMPTS - 1 or not isinstance(error, AGAIN)
            answer["refused" if last else "retries"].append(type(error.__cause__ or error).__name__)
            connections.close_all()
            if last:
                return None
            time.sleep(random.uniform(0, 0.05 * 2**number))
    raise AssertionError("unreachable")


def carry_out(order: dict[str, Any]) -> Answer:
    answer = Answer(retries=[], refused=[], stamp=None)
    write = find(order["write"])
    attempt(lambda: write(random.Random(order["seed"])), answer)
    if order.get("stamp"):
        stamp = find(order["stamp"])
        pk = attempt(lambda: stamp(order["writer"], order["number"]), answer)
        if pk is not None:
            answer["stamp"] = [pk, order["number"], time.monotonic()]
    return answer


def main(names: str) -> None:
    from django.conf import settings

    for alias, name in json.loads(names).items():
        if alias in settings.DATABASES:  # Its settings may be others than the test's.
            settings.DATABASES[alias]["NAME"] = name
    answers, sys.stdout = sys.stdout, sys.stderr  # what a write prints is no answer
    django.setup()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
