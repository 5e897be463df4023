from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("databinding", "0002_postgresql")]
    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                (
                    "digest",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("body", models.CharField(max_length=64)),
                ("key", models.TextField(null=True)),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "db_table": "databinding_idempotencykey",
            },
        ),
    ]
