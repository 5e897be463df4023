from databinding.websockets import WebSocketDemultiplexer
from values.bindings import IntegerValueBinding


class Demultiplexer(WebSocketDemultiplexer):
    """What `ws /stream/` speaks."""

    consumers = {"intval": IntegerValueBinding.consumer}

    def connection_groups(self):
        return ["intval-updates"]
