"""Other programs: what writes the test database without Django."""

import shutil
import sqlite3
import subprocess
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


def shell_program(*statements):
    """The database's own shell runs these; where it isn't on PATH, Python's driver does."""
    named = connection.settings_dict
    program = "sqlite3" if connection.vendor == "sqlite" else "psql"
    if shutil.which(program) is None:
        other_program(*statements)
        return
    line = ["sqlite3", "-bail", "-cmd", ".timeout 20000", named["NAME"]]
    if program == "psql":
        line = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]
        line.append(f"--dbname={named['NAME']}")
        parts = {"host": "HOST", "port": "PORT", "username": "USER"}
        line += [f"--{part}={named[name]}" for part, name in parts.items() if named[name]]
    subprocess.run(line, input=";\n".join([*statements, ""]), text=True, check=True, timeout=60)


def other_program(*statements):
    """Another program runs these in one transaction."""
    with closing(connect()) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()
