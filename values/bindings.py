"""What of this app is live: autodiscovered by `databinding` in every process."""

from databinding.websockets import WebsocketBinding

from .models import IntegerValue

#: The model permission that each write asks for; every other action only reads.
WRITES = {"create": "add", "update": "change", "delete": "delete"}


class IntegerValueBinding(WebsocketBinding):
    model = IntegerValue
    stream = "intval"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["intval-updates"]

    def has_permission(self, user, action, pk):
        """Anyone may read; only active staff with the model permission may write."""
        if action in ("subscribe", "list", "retrieve"):
            return True
        if action not in WRITES or user is None:
            return False
        permission = f"values.{WRITES[action]}_integervalue"
        return user.is_active and user.is_staff and user.has_perm(permission)
