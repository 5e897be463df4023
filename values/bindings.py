"""What of this app is live: autodiscovered by `databinding` in every process."""

from databinding.websockets import WebsocketBinding

from .models import BooleanValue, FloatValue, IntegerValue, TextValue
from .samples.kinds import finite
from .throttles import Asking

#: The model permission that each write asks for; every other action only reads.
WRITES = {"create": "add", "update": "change", "delete": "delete"}


class ValueBinding(WebsocketBinding):
    """Anyone may read; only active staff with the model permission may write."""

    throttle_classes = [Asking]
    asks_nothing = True
    search_fields = ["name"]
    filterset_fields = {"name": ["exact"], "value": ["exact", "gte", "lte"]}
    ordering_fields = ["name", "value"]

    def has_permission(self, user, action, pk):
        if action in ("subscribe", "list", "retrieve"):
            return True
        if action not in WRITES or user is None:
            return False
        permission = f"values.{WRITES[action]}_{self.model._meta.model_name}"
        return user.is_active and user.is_staff and user.has_perm(permission)

    def serialize_data(self, instance):
        """Of a number that JSON can't say, which only programs write, nothing is known."""
        data = super().serialize_data(instance)
        return {name: finite(value) for name, value in data.items()}


class IntegerValueBinding(ValueBinding):
    model = IntegerValue
    stream = "intval"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["intval-updates"]


class IntegerLimitsBinding(ValueBinding):
    """What `intval`, which stays as it was, doesn't say of a number: how to read and show it.

    Clients of old, which hear of every stream, are not in its group: they get `intval` as ever.
    """

    model = IntegerValue
    stream = "intlimits"
    exclude = ["name", "value"]
    search_fields = filterset_fields = ordering_fields = ()

    @classmethod
    def group_names(cls, instance):
        return ["intlimits-updates"]

    def has_permission(self, user, action, pk):
        # Rows come and go with their names and values.
        return action not in ("create", "delete") and super().has_permission(user, action, pk)


class FloatValueBinding(ValueBinding):
    model = FloatValue
    stream = "floatval"
    fields = ["__all__"]

    @classmethod
    def group_names(cls, instance):
        return ["floatval-updates"]


class BooleanValueBinding(ValueBinding):
    model = BooleanValue
    stream = "boolval"
    fields = ["__all__"]

    @classmethod
    def group_names(cls, instance):
        return ["boolval-updates"]


class TextValueBinding(ValueBinding):
    model = TextValue
    stream = "textval"
    fields = ["__all__"]

    @classmethod
    def group_names(cls, instance):
        return ["textval-updates"]
