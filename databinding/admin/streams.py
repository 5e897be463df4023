"""The live admins of this project, each of which has a stream: which of its rows changed.

A stream tells no more than primary keys. What became of those rows the page asks the admin itself,
which renders them for its user.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from django.contrib.admin import ModelAdmin
from django.contrib.admin.sites import AdminSite, all_sites
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from databinding.admin.options import LiveAdminMixin
from databinding.binding import Binding, registry
from databinding.websockets import WebsocketBinding

GROUP = "admin"


class ChangesBinding(WebsocketBinding):
    """The keys of one live admin's rows, as they change; a class of it is made for each."""

    model_admin: ClassVar[Any]
    changes_only = True

    @classmethod
    def group_names(cls, instance: Model) -> list[str]:
        return [GROUP]

    @classmethod
    def get_queryset(cls, user: Any = None) -> QuerySet[Any]:
        """What the admin itself would list for this user, unless it lists everything."""
        ask: Any = type(cls.model_admin).get_queryset
        if ask is ModelAdmin.get_queryset or not cls.model_admin.live_hides_keys:
            return cls.model._base_manager.only("pk")
        rows: QuerySet[Any] = cls.model_admin.get_queryset(request_of(user))
        return rows.select_related(None).only("pk")

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        # Differs each time: whatever it was that changed of the row, it is told.
        return {"version": secrets.token_hex(4)}

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return action == "subscribe" and permits(self.model_admin, user)


class Streams(Mapping[str, type[WebsocketBinding]]):
    """Every live admin's binding by the name of its stream, made when it is first asked for."""

    def __init__(self, **others: type[WebsocketBinding]) -> None:
        self._others = others
        self._made: WeakKeyDictionary[ModelAdmin[Any], type[WebsocketBinding]]
        self._made = WeakKeyDictionary()

    def __getitem__(self, name: str) -> type[WebsocketBinding]:
        if name in self._others:
            return self._others[name]
        model_admin = model_admin_of(name)
        if model_admin is None:
            raise KeyError(name)
        if model_admin not in self._made:
            model = model_admin.model
            said = {
                "model": model,
                "model_admin": model_admin,
                "fields": (),
                # What the model's own bindings follow of other tables changes its rows, too.
                "watch": [entry for binding in bindings_of_model(model) for entry in binding.watch],
            }
            name = f"{type(model_admin).__name__}Changes"
            self._made[model_admin] = type(name, (ChangesBinding,), said)
        return self._made[model_admin]

    def __iter__(self) -> Iterator[str]:
        yield from self._others
        for model_admin in live_admins():
            yield model_admin.live_stream()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def bindings_of_model(model: type[Model]) -> list[type[Binding]]:
    """The bindings by which its rows' changes are captured."""
    concrete = model._meta.concrete_model
    return [binding for binding in registry if binding.model._meta.concrete_model is concrete]


def live_admins() -> Iterator[Any]:
    """Every `ModelAdmin` that is registered with some site and live."""
    sites: Any = all_sites
    for site in sites:
        for model_admin in site._registry.values():
            if isinstance(model_admin, LiveAdminMixin):
                yield model_admin


def model_admin_of(stream: str) -> Any:
    found = (one for one in live_admins() if one.live_stream() == stream)
    return next(found, None)


def may_view(stream: str, user: Any) -> bool:
    """May this user see the change list of this stream's admin?"""
    model_admin = model_admin_of(stream)
    return model_admin is not None and permits(model_admin, user)


def permits(model_admin: ModelAdmin[Any], user: Any) -> bool:
    """What the admin would say to a request of this user for its change list."""
    request = request_of(user)
    site: AdminSite = model_admin.admin_site
    return site.has_permission(request) and model_admin.has_view_or_change_permission(request)


def request_of(user: Any) -> HttpRequest:
    """What an admin may ask about who asks: there is no more than the user."""
    request = HttpRequest()
    request.method = "GET"
    request.user = user
    return request
