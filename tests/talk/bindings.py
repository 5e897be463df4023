"""The talk's code, with nothing but its imports changed."""

from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer

from .models import IntegerValue


class IntegerValueBinding(WebsocketBinding):
    model = IntegerValue
    stream = "intval"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["intval-updates"]

    def has_permission(self, user, action, pk):
        return True


class Demultiplexer(WebSocketDemultiplexer):
    consumers = {"intval": IntegerValueBinding.consumer}

    def connection_groups(self):
        return ["intval-updates"]
