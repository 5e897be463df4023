"""Which models live on the other database."""


class Router:
    """One app has the other database to itself, but for the journal, which each has."""

    def db_for_read(self, model, **hints):
        return "other" if model._meta.app_label == "elsewhere" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return app_label == "databinding" or (db == "other") == (app_label == "elsewhere")
