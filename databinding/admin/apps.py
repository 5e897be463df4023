"""The live admin as an app: who is where, and its checks."""

from __future__ import annotations

from django.apps import AppConfig


class LiveAdminConfig(AppConfig):
    name = "databinding.admin"
    label = "databinding_admin"
    verbose_name = "Live admin"
    default_auto_field = "django.db.models.BigAutoField"
