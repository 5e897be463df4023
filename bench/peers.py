"""Ours and what it is measured against, each written as its documentation would have it.

/bench/ours/        a binding, its demultiplexer (`bench.bindings`)
/bench/bare/        the limit of a server: an ASGI application that calls `send` in a loop
/bench/channels/    Channels: a group, `group_send`, a JSON consumer
/bench/dcrf/        djangochannelsrestframework: `model_observer`

`bench.limits` has the limit of a machine: a loop around `socket.send`, without any framework.
"""

import asyncio

import channels.auth
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from django.urls import path
from djangochannelsrestframework.consumers import AsyncAPIConsumer
from djangochannelsrestframework.observer import model_observer

import databinding.auth
from bench.bindings import Demultiplexer
from bench.frames import frame
from bench.models import ObservedValue

GROUP = "values"


class Consumer(AsyncJsonWebsocketConsumer):
    groups = [GROUP]

    async def value_changed(self, event):
        await self.send_json(event["frame"])


class Observer(AsyncAPIConsumer):
    async def accept(self, **kwargs):
        await self.value_changed.subscribe()
        await super().accept(**kwargs)

    @model_observer(ObservedValue)
    async def value_changed(self, message, **kwargs):
        await self.send_json(message)

    @value_changed.serializer
    def value_changed(self, instance, action, **kwargs):
        return frame(instance.name, instance.value, action.value)


async def group_send(name, value):
    await get_channel_layer().group_send(
        GROUP, {"type": "value.changed", "frame": frame(name, value)}
    )


class Bare:
    """Its connections, and a loop that sends to all of them."""

    def __init__(self):
        self.sends = set()
        self.running = None

    async def __call__(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        self.sends.add(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self.sends.discard(send)

    def start(self, texts, gap):
        self.running = asyncio.get_running_loop().create_task(self.run(texts, gap))

    async def run(self, texts, gap):
        for text in texts:
            for send in self.sends:
                await send({"type": "websocket.send", "text": text})
            await asyncio.sleep(gap)


bare = Bare()
ours = databinding.auth.AuthMiddlewareStack(
    URLRouter([path("bench/ours/", Demultiplexer.as_asgi())])
)
idiomatic = channels.auth.AuthMiddlewareStack(
    URLRouter(
        [
            path("bench/channels/", Consumer.as_asgi()),
            path("bench/dcrf/", Observer.as_asgi()),
        ]
    )
)
BY_PATH = {"/bench/bare/": bare, "/bench/ours/": ours}


async def peer(scope, receive, send):
    """The one that the path names."""
    await BY_PATH.get(scope["path"], idiomatic)(scope, receive, send)
