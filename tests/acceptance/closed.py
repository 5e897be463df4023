"""The project as a site that shows its values to those alone who have logged in."""

from dashboard.asgi import application
from values.bindings import ValueBinding

__all__ = ["application"]

of_everybody = ValueBinding.has_permission


def has_permission(self, user, action, pk):
    return user is not None and user.is_authenticated and of_everybody(self, user, action, pk)


ValueBinding.has_permission = has_permission
