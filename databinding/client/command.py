"""``python -m databinding``: watch a stream from a shell, and write to it.

    python -m databinding tail wss://example.com/stream/ intval
    python -m databinding set wss://example.com/stream/ intval 1 value=42

What comes goes to stdout, as JSON; what there is to say about it, to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

from databinding.client.changes import Change
from databinding.client.connection import RESERVED, Connection
from databinding.client.errors import (
    ClosedError,
    DatabindingError,
    NotSentError,
    RequestError,
)
from databinding.client.stdout import Stdout

#: The environment variable that the token is taken from.
TOKEN = "DATABINDING_TOKEN"


class Exit(IntEnum):
    """Exit statuses; 2 is argparse's, for a command line that can't be understood."""

    DONE = 0
    REFUSED = 1
    NOT_SENT = 3
    UNKNOWN_OUTCOME = 4
    #: As shells say it of a program that SIGINT ended.
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    try:
        asyncio.run(given.command(given))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except (BrokenPipeError, asyncio.CancelledError):
        pass  # Whoever read has enough.
    except DatabindingError as error:
        for line in _sentences(error):
            print(line, file=sys.stderr)
        return _exit_of(error)
    return Exit.DONE


async def tail(given: argparse.Namespace) -> None:
    """One line for each event, until interrupted, or until nobody reads them any more."""
    # Whoever watches wants to know that the connection is back, too.
    logging.getLogger("databinding.client").setLevel(logging.INFO)
    stdout = Stdout()
    task = asyncio.current_task()
    assert task is not None
    stdout.end_with_reader(task)
    params = dict(given.param)
    if given.limit is not None:
        params["limit"] = given.limit
    async with _connection(given) as live:
        stream = live.stream(given.stream, params, since=given.since, window=given.window)
        async for change in stream:
            await stdout.print(_lines(change))


async def set_fields(given: argparse.Namespace) -> None:
    """Change fields of a row; print the reply."""
    async with _connection(given) as live:
        payload = {"pk": given.pk, "data": dict(given.field)}
        reply = await live.request(given.stream, "update", payload)
    await Stdout().print([reply._asdict()])


def _connection(given: argparse.Namespace) -> Connection:
    token = given.token_file or os.environ.get(TOKEN)
    return Connection(given.url, token=token, headers=dict(given.header))


def _lines(change: Change) -> Iterator[dict[str, Any]]:
    """Lines that a reader applies one after another; the last one has the cursor."""
    lines: list[dict[str, Any]] = []
    if change.reset:
        lines.append({"action": "reset"})
    if change.keep is not None:
        lines.append({"action": "keep", "pks": sorted(change.keep, key=str)})
    for event in change:
        data = {} if event.data is None else {"data": event.data}
        lines.append({"action": event.action, "pk": event.pk, **data})
    if not lines:
        lines.append({"action": "cursor"})
    # Not before: whoever resumes there has seen all of it.
    lines[-1]["cursor"] = change.cursor
    yield from lines


def _sentences(error: DatabindingError) -> list[str]:
    if isinstance(error, RequestError) and error.fields:
        return [
            f"{field}: {message}" if field else message
            for field, messages in error.fields.items()
            for message in messages
        ]
    return [str(error)]


def _exit_of(error: DatabindingError) -> Exit:
    if isinstance(error, (RequestError, ClosedError)):
        return Exit.REFUSED
    return Exit.NOT_SENT if isinstance(error, NotSentError) else Exit.UNKNOWN_OUTCOME


# The command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m databinding",
        description="Watch a stream of a database's rows, or change a row.",
    )
    commands = parser.add_subparsers(required=True, metavar="tail | set")

    command = _command(commands, "tail", "print each change as JSON lines", tail)
    command.add_argument("--since", metavar="CURSOR", help="only what came after this line's")
    command.add_argument(
        "--param",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="a parameter of the stream; the value is JSON where it is, else text",
    )
    command.add_argument(
        "--limit", type=_positive, metavar="N", help="of a stream with an order: the first N rows"
    )
    command.add_argument(
        "--window", type=_positive, metavar="N", help="frames on their way at once (default: 8)"
    )

    command = _command(commands, "set", "change fields of a row, print the reply", set_fields)
    command.add_argument("pk", type=_pk, metavar="PK")
    command.add_argument(
        "field",
        nargs="+",
        type=_assignment,
        metavar="FIELD=VALUE",
        help="the value is JSON where it is, else text",
    )
    return parser


def _command(commands: Any, name: str, does: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"The token to authenticate with is in the environment variable {TOKEN}, or in a "
        "file. It isn't an option: every user of a machine can read the command lines of all "
        "programs, and shells remember them. For other secrets give --header a file.",
    )
    command.set_defaults(command=run)
    command.add_argument("url", type=_url, metavar="URL", help="as wss://example.com/stream/")
    command.add_argument("stream", metavar="STREAM")
    command.add_argument(
        "--token-file",
        type=_token,
        metavar="FILE",
        help=f"a file with the token, instead of {TOKEN}",
    )
    command.add_argument(
        "--header",
        action=_Headers,
        default=[],
        metavar="'NAME: VALUE' | @FILE",
        help="a header of the handshake, as a session's cookie; @FILE has one on each line",
    )
    return command


class _Headers(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any
    ) -> None:
        lines = [values]
        if values.startswith("@"):
            try:
                lines = Path(values[1:]).read_text().splitlines()
            except OSError as error:
                parser.error(f"argument --header: {error}")
        headers = [line.partition(":") for line in lines if line.strip()]
        if not all(name.strip() and colon for name, colon, _ in headers):
            parser.error("argument --header: not of the form 'Name: value'")
        pairs = [(name.strip(), value.strip()) for name, _, value in headers]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *pairs])


def _url(text: str) -> str:
    try:
        Connection(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _token(path: str) -> str:
    try:
        token = Path(path).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not token or not token.isascii() or any(letter.isspace() for letter in token):
        raise argparse.ArgumentTypeError(f"no token in {path}")
    return token


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"not of the form NAME=VALUE: {text}")
    return name, _value(value)


def _parameter(text: str) -> tuple[str, Any]:
    name, value = _assignment(text)
    if name in RESERVED:
        raise argparse.ArgumentTypeError(f"no parameter of a stream: {name}")
    return name, value


def _pk(text: str) -> int | str:
    value = _value(text)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else text


def _value(text: str) -> Any:
    """JSON where it is, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(text)
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} isn't JSON")
