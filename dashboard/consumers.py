"""What the websocket routes of `routing.py` run."""

from channels.generic.websocket import AsyncWebsocketConsumer

from databinding.websockets import WebSocketDemultiplexer
from values.bindings import (
    BooleanValueBinding,
    FloatValueBinding,
    IntegerLimitsBinding,
    IntegerValueBinding,
    TextValueBinding,
)


class EchoConsumer(AsyncWebsocketConsumer):
    """What `ws /echo/` speaks: an answer to each text; binary frames go unanswered."""

    async def receive(self, text_data=None, bytes_data=None):
        if text_data is not None:
            await self.send(text_data=f"Echo: {text_data}")


class Demultiplexer(WebSocketDemultiplexer):
    """What `ws /stream/` speaks."""

    consumers = {
        "intval": IntegerValueBinding.consumer,
        "intlimits": IntegerLimitsBinding.consumer,
        "floatval": FloatValueBinding.consumer,
        "boolval": BooleanValueBinding.consumer,
        "textval": TextValueBinding.consumer,
    }

    async def connection_groups(self):
        groups = ["intval-updates", "floatval-updates", "boolval-updates", "textval-updates"]
        # Not to clients of old, to whom it would come unasked.
        offered = self.scope.get("subprotocols", ["databinding"])
        return [*groups, "intlimits-updates"] if "databinding" in offered else groups
