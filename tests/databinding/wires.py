"""An ASGI application that sends past ASGI and through it in turns, and says what it did.

A client asks by ``{"ways": ["wire", "send", …], "sizes": […]}``. It gets a text for each, which
begins with its number, and then ``{"wire", "written"}``: the class of the way past ASGI (None:
there is none), and which texts went past.

Texts that begin with "take" are taken past ASGI's ``receive``, where that can be done; by "said"
a client asks for them. With "/wrapped" as path the application is given a ``receive`` of its own.
"""

import functools
import json

from django.test import override_settings

from databinding.connection import Connection
from databinding.servers import text_frame, wire_of
from databinding.tally import HubTally

#: What the wire answered after its connection had said goodbye, by path.
after_close = []


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(after_close).encode()})
        return
    assert scope["type"] == "websocket"
    if scope["path"] == "/wrapped":
        receive = functools.partial(receive)
    await receive()
    await send({"type": "websocket.accept"})
    wire = wire_of(send)
    taken, received = [], []
    if wire is not None:
        wire.tap(receive, functools.partial(take, taken))
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is None or text.startswith("take"):
            received.append(text)
        elif text == "untap":
            wire.untap()
        elif text == "said":
            await send({"type": "websocket.send", "text": json.dumps([taken, received])})
        else:
            await answer(json.loads(text), send, wire)


def take(taken, data):
    if data.startswith(b"take"):
        taken.append(bytes(data).decode())
        return True
    return False


async def answer(asked, send, wire):
    if "setting" in asked:
        with override_settings(DATABINDING={"PAST_ASGI": asked["setting"]}):
            direct = Connection(send, HubTally())._wire is not None
        await send({"type": "websocket.send", "text": json.dumps(direct)})
        return
    if "close" in asked:
        await send({"type": "websocket.close", "code": 4000})
        after_close.append(wire.write(text_frame("too late")))
        return
    written = []
    for number, (way, size) in enumerate(zip(asked["ways"], asked["sizes"], strict=True)):
        text = f"{number} ".ljust(size, "é")
        if way == "wire" and wire is not None and wire.write(text_frame(text)):
            written.append(number)
        else:
            await send({"type": "websocket.send", "text": text})
    name = None if wire is None else type(wire).__name__
    text = json.dumps({"wire": name, "written": written})
    await send({"type": "websocket.send", "text": text})
