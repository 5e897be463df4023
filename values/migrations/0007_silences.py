from django.db import migrations, models

from databinding import triggers


def uninstall(apps, schema_editor):
    """SQLite renames no table while triggers name one that is gone; migrate makes them again."""
    triggers.uninstall(schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0006_slices"),
    ]

    operations = [
        migrations.CreateModel(
            name="Silence",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=10)),
                ("key", models.BigIntegerField()),
                ("time", models.DateTimeField()),
                ("told", models.DateTimeField()),
            ],
        ),
        migrations.RunPython(migrations.RunPython.noop, uninstall),
    ]
