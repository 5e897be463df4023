from typing import Any

from django.db import migrations

# The transaction of each key, which is its place in PostgreSQL's history of commits, and the half
# of the epoch that a crash empties (databinding.journal.postgresql).
FORWARDS = (
    "ALTER TABLE databinding_journal ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()",
    "CREATE INDEX databinding_journal_xid ON databinding_journal (xid)",
    "CREATE UNLOGGED TABLE databinding_life (id smallint PRIMARY KEY, value text NOT NULL)",
)
BACKWARDS = (
    "DROP TABLE databinding_life",
    "ALTER TABLE databinding_journal DROP COLUMN xid",
)


def forwards(apps: Any, schema_editor: Any) -> None:
    execute(schema_editor, FORWARDS)


def backwards(apps: Any, schema_editor: Any) -> None:
    execute(schema_editor, BACKWARDS)


def execute(schema_editor: Any, statements: tuple[str, ...]) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for statement in statements:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("databinding", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
