from bench.models import BoundValue
from databinding.websockets import WebsocketBinding


class BoundValueBinding(WebsocketBinding):
    model = BoundValue
    stream = "bound"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance):
        return ["bound"]
