from typing import Any

from django.db import migrations, models


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Backwards: triggers that insert into a table that is gone would fail every write."""
    from databinding import triggers

    triggers.uninstall(schema_editor.connection.alias)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Epoch",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("value", models.CharField(max_length=40)),
                ("pruned", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "databinding_epoch",
            },
        ),
        migrations.CreateModel(
            name="JournalEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                ("key", models.TextField(null=True)),
                ("tag", models.BigIntegerField()),
            ],
            options={
                "db_table": "databinding_journal",
            },
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "databinding_mark",
            },
        ),
        # Forwards they are installed after each migrate; see databinding.triggers.
        migrations.RunPython(migrations.RunPython.noop, drop_triggers),
    ]
