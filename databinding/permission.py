"""May somebody do this? Every door asks here: the binding's classes, and the binding itself.

    class IntegerValueBinding(WebsocketBinding):
        permission_classes = [DjangoModelPermissionsOrAnonReadOnly]

        def has_permission(self, user, action, pk):
            return action != "delete"

Nothing is permitted unless a binding grants it: by Django REST framework's `permission_classes`, by
`has_permission`, or by both, and then **both** must agree. Asked in this order, the first that says
no has the word:

1. `has_permission(request, view)` of each class;
2. the binding's `has_permission(user, action, pk)`, which grants what the classes do unless it is
   overridden, and nothing where there are none;
3. `has_object_permission(request, view, row)` of each class, where the action is about one row.

Classes are shown what they look at in a request and a view, whichever door it is: the user, the
method, `action`, `kwargs["pk"]`, `get_queryset()`. A custom action that is given a ``pk`` is about
that row, as a PATCH is.
Called in a thread (`databinding.threads`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.db.models import QuerySet
from rest_framework import exceptions
from rest_framework.permissions import AllowAny

from databinding.throttling import METHODS, AskedRequest, AskedView

if TYPE_CHECKING:
    from databinding.binding import Binding


#: Of custom actions the method is PATCH if they are given a ``pk``, else POST.
_METHODS: Final = {**METHODS, "subscribe": "GET", "create": "POST"}


class PermissionView(AskedView):
    """What a class is shown as the view; also `request` and `get_queryset`, for its model."""

    def __init__(self, binding: type[Binding], request: AskedRequest, action: str, pk: Any) -> None:
        super().__init__(binding, action, {} if pk is None else {"pk": pk})
        # Whatever else there is concerns a row that is there, or none.
        request.method = _METHODS.get(action, "POST" if pk is None else "PATCH")
        self.request = request
        self.detail = pk is not None

    def get_queryset(self) -> QuerySet[Any]:
        return self.binding.rows_for(self.request.user)


def check(
    binding: type[Binding],
    user: Any,
    action: str,
    pk: Any = None,
    *,
    row: Any = None,
    scope: Any = None,
) -> None:
    """Raises `NotAuthenticated` or `PermissionDenied`, unless all agree.

    `scope` is the connection's, `row` the one with this `pk` where the action is about one.
    """
    # To be shown a request and to say nothing of it would take as long as all the rest.
    asked = [one for one in binding.permission_classes if one is not AllowAny]
    permissions = [permission_class() for permission_class in asked]
    request = AskedRequest(scope or {}, user, action) if permissions else None
    view: Any = request and PermissionView(binding, request, action, pk)
    for permission in permissions:
        if not permission.has_permission(request, view):
            _deny(user, permission)
    if not binding().has_permission(user, action, pk):
        _deny(user)
    if row is not None:
        for permission in permissions:
            if not permission.has_object_permission(request, view, row):
                _deny(user, permission)


def _deny(user: Any, permission: Any = None) -> NoReturn:
    if not user.is_authenticated:
        raise exceptions.NotAuthenticated
    raise exceptions.PermissionDenied(
        getattr(permission, "message", None), getattr(permission, "code", None)
    )
