"""Who may subscribe, and what to: the same for a websocket and for the rows in a served page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rest_framework import exceptions, permissions

from databinding import permission, protocol
from databinding.binding import Binding, distinct_names
from databinding.form import Form, form_of

#: Of Django REST framework's classes those that say who may read by no more than the user.
_BY_THE_USER = frozenset(
    {
        permissions.AllowAny,
        permissions.DjangoModelPermissions,
        permissions.DjangoModelPermissionsOrAnonReadOnly,
        permissions.IsAdminUser,
        permissions.IsAuthenticated,
        permissions.IsAuthenticatedOrReadOnly,
    }
)
#: What of a binding decides besides them.
_DECIDING = ("get_queryset", "groups_for", "has_permission", "parameters", "readable_fields")
#: What a binding says `asks_nothing` of.
_PROMISED = frozenset({*_DECIDING, "audience_key", "permission_classes"})


class Place(NamedTuple):
    """What a subscription shows, chosen by the server: in which form, of which groups, and of a
    window how many rows."""

    form: Form
    groups: frozenset[str]
    limit: int | None


def admit(
    binding_class: type[Binding],
    user: Any,
    groups: frozenset[str],
    said: Mapping[str, Any],
    scope: Any = None,
) -> Place:
    """The place of a user whose connection is in `groups`, by what the client says besides.

    Raises Django REST framework's `NotAuthenticated`, `PermissionDenied` or `ValidationError`,
    and whatever the binding raises. Asks the database; not for an event loop.
    """
    binding = binding_class()
    try:
        permission.check(binding_class, user, protocol.SUBSCRIBE, scope=scope)
    except exceptions.PermissionDenied as denied:
        said_why = denied.detail != exceptions.PermissionDenied.default_detail
        why = denied.detail if said_why else "You may not subscribe to this stream."
        raise exceptions.PermissionDenied(why) from None
    except exceptions.NotAuthenticated:
        raise exceptions.NotAuthenticated("Log in to subscribe to this stream.") from None
    said = dict(said)
    limit = None
    if binding.order_by:
        limit = valid_limit(said.pop("limit", None), binding.limit, binding.max_limit)
    names = chosen_groups(binding_class, user, groups, said)
    return Place(form_of(binding_class, user), names, limit)


def asks_nothing(binding: type[Binding]) -> bool:
    """Does `admit` ask nothing but the user, so that no thread is needed for it?

    So it is where all that decides is this library's and Django REST framework's, and where the
    binding says so: of a project's own code nobody else knows. (Django itself sees to it that no
    database is asked in an event loop.)
    """
    if binding.asks_nothing and _promises(binding):
        return True
    known = _BY_THE_USER.issuperset(binding.permission_classes)
    return known and not binding.overrides(*_DECIDING)


def _promises(binding: type[Binding]) -> bool:
    """Is it said by a class that knows all of that, since none before it in the order has any?"""
    for one in binding.__mro__:
        if "asks_nothing" in vars(one):
            return True
        if not _PROMISED.isdisjoint(vars(one)):
            return False
    return False


def chosen_groups(
    binding_class: type[Binding], user: Any, groups: frozenset[str], said: Mapping[str, Any]
) -> frozenset[str]:
    """What `groups_for` makes of a connection's groups and the parameters that its client says.

    Raises `ValidationError`, and whatever the binding raises.
    """
    binding = binding_class()
    named = binding.groups_for(user, groups, _valid(binding, said))
    return distinct_names(named, f"{binding_class.__qualname__}.groups_for()")


def valid_limit(limit: Any, default: int, most: int) -> int:
    """How many rows a client wants. Raises `ValidationError` for what is no number up to `most`."""
    if limit is None:
        return default
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise exceptions.ValidationError({"limit": [f"A number from 1 to {most}."]})
    return limit


def _valid(binding: Binding, said: Mapping[str, Any]) -> Mapping[str, Any]:
    serializer = None if binding.parameters is None else binding.parameters(data=said)
    known = () if serializer is None else serializer.fields
    unknown = [name for name in said if name not in known]
    if unknown:
        names = ", ".join(name[:100] for name in sorted(unknown)[:20])
        raise exceptions.ValidationError([f"This stream has no such parameter: {names}."])
    if serializer is None:
        return {}
    serializer.is_valid(raise_exception=True)
    valid: Mapping[str, Any] = serializer.validated_data
    return valid
