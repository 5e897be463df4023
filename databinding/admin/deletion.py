"""What a deletion in the admin takes with it, where a row can't be read.

Django's own way to find that reads the row once more with each of those that refer to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.db import router
from django.db.models import Model, ProtectedError, RestrictedError
from django.db.models.deletion import Collector
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import capfirst

#: What is to be shown, how many of which, what may not be deleted, and what must not be.
Deleted = tuple[list[str], dict[str, int], set[str], list[str]]


def deleted_objects(objs: Sequence[Model], request: HttpRequest, site: AdminSite) -> Deleted:
    """As `ModelAdmin.get_deleted_objects`, in one list."""
    collector = Collector(using=router.db_for_write(type(objs[0])))
    protected: list[Any] = []
    try:
        collector.collect(objs)
    except ProtectedError as error:
        protected = list(error.protected_objects)
    except RestrictedError as error:
        protected = list(error.restricted_objects)
    found = list(_collected(collector))
    lacking = {
        str(one._meta.verbose_name)
        for one in found
        if site.is_registered(type(one))
        and not site.get_model_admin(type(one)).has_delete_permission(request, one)
    }
    counts = Counter(str(one._meta.verbose_name_plural) for one in found)
    return (
        [_shown(one, site) for one in found],
        dict(counts),
        lacking,
        [_shown(one, site) for one in protected],
    )


def _collected(collector: Any) -> Iterator[Model]:
    for instances in collector.data.values():
        yield from instances
    for rows in collector.fast_deletes:
        yield from rows


def _shown(one: Model, site: AdminSite) -> str:
    kind = capfirst(one._meta.verbose_name)
    if site.is_registered(type(one)):
        name = f"{site.name}:{one._meta.app_label}_{one._meta.model_name}_change"
        try:
            address = reverse(name, args=[quote(one.pk)])
        except NoReverseMatch:
            pass
        else:
            return format_html('{}: <a href="{}">{}</a>', kind, address, one)
    return format_html("{}: {}", kind, one)
