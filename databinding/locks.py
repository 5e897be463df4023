"""Locks: how long a transaction waits for what others have locked, and one that it takes itself.

PostgreSQL waits for ever, SQLite for its ``timeout``.
"""

from __future__ import annotations

from django.db import connections

#: The SQLSTATE "lock_not_available".
_GAVE_UP = "55P03"


def wait_at_most(alias: str, seconds: float) -> None:
    """Let the rest of this transaction wait at most so long for each lock that it needs."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # For the transaction, not for the session, which a pooler gives to others.
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds * 1000:.0f}"])


def write_alone(alias: str) -> None:
    """Let nobody else write until this transaction ends, where one at a time does (SQLite).

    A transaction that only begins to read may find that somebody has written when it wants to.
    """
    connection = connections[alias]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE databinding_epoch SET id = id WHERE id IS NULL")


def gave_up(error: BaseException) -> bool:
    """Is this the error of a statement that has waited for long enough?"""
    return getattr(error.__cause__, "sqlstate", None) == _GAVE_UP
