"""Wires the library into Django: bindings, capture, triggers, checks."""

from __future__ import annotations

import logging

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.module_loading import autodiscover_modules


class DatabindingConfig(AppConfig):
    name = "databinding"
    verbose_name = "Live data binding"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from databinding import capture, checks  # noqa: F401  (checks register themselves)
        from databinding.logs import WithoutContents
        from databinding.triggers import install_after_migrate, loosen_before_migrate

        logging.getLogger("databinding").addFilter(WithoutContents())
        autodiscover_modules("bindings")
        capture.connect()
        pre_migrate.connect(loosen_before_migrate, sender=self, dispatch_uid="databinding")
        post_migrate.connect(install_after_migrate, sender=self, dispatch_uid="databinding")
