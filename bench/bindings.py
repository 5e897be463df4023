from bench.models import BoundValue
from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer


class BoundValueBinding(WebsocketBinding):
    model = BoundValue
    stream = "bound"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["bound"]

    def has_permission(self, user, action, pk):
        return True


class Demultiplexer(WebSocketDemultiplexer):
    # The frames of all that are measured name one stream.
    consumers = {"intval": BoundValueBinding.consumer}

    async def connection_groups(self):
        return ["bound"]
