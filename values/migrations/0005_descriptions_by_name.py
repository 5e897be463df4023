from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0004_descriptions"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="description",
            index=models.Index(fields=["kind", "name"], name="description_by_name"),
        ),
    ]
