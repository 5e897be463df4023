from rest_framework.permissions import AllowAny

from bench.models import BoundValue
from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer


class BoundValueBinding(WebsocketBinding):
    model = BoundValue
    stream = "bound"
    fields = ["name", "value"]
    permission_classes = [AllowAny]

    @classmethod
    def group_names(cls, instance):
        return ["bound"]


class Demultiplexer(WebSocketDemultiplexer):
    # The frames of all that are measured name one stream.
    consumers = {"intval": BoundValueBinding.consumer}

    async def connection_groups(self):
        return ["bound"]
