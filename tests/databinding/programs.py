"""Other programs: what writes the test database without Django."""

import sqlite3
from contextlib import closing

import psycopg
from django.db import connection


def connect(**options):
    """A connection of another program, in a transaction from its first statement to a commit.

    Both kinds have `execute`, `commit`, `rollback` and `close`.
    """
    named = connection.settings_dict
    if connection.vendor == "sqlite":
        return sqlite3.connect(named["NAME"], **{"timeout": 20} | options)
    parts = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    # What the settings leave open says libpq's environment.
    given = {part: named[name] for part, name in parts.items() if named[name]}
    return psycopg.connect(dbname=named["NAME"], **given, **options)


def other_program(*statements):
    """Another program runs these in one transaction."""
    with closing(connect()) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()
