from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, post_migrate, post_save, pre_delete, pre_save


class ValuesConfig(AppConfig):
    name = "values"

    def ready(self):
        from databinding import triggers
        from values.samples import authors, recording
        from values.samples.kinds import KINDS
        from values.samples.triggers import samples

        triggers.also(samples)
        connection_created.connect(authors.listen, dispatch_uid="values")
        for model in KINDS.values():
            pre_save.connect(recording.about_to_write, sender=model, dispatch_uid="values")
            pre_delete.connect(recording.about_to_write, sender=model, dispatch_uid="values")
            post_save.connect(recording.saved, sender=model, dispatch_uid="values")
            post_delete.connect(recording.deleted, sender=model, dispatch_uid="values")
        # After the triggers, which the library makes: its turn comes before.
        post_migrate.connect(recording.catch_up, sender=self, dispatch_uid="values")
