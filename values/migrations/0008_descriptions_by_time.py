from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0007_silences"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="description",
            index=models.Index(fields=["time"], name="description_by_time"),
        ),
    ]
