"""Past ASGI: what goes to and comes from very many connections all the time.

ASGI's ``send`` is handed a text, of which the server makes a frame anew for each connection: on
uvicorn that is a third of what a delivery costs, on daphne three quarters. Where a connection's
server is known, the frame is made once (`text_frame`) and its bytes are given to the transport.

ASGI's ``receive`` is given a text by way of a queue and a task that is woken, and uvicorn stops
watching the socket meanwhile: of an acknowledgement that is more than half. Where the server is
known, what comes is shown to the library first (`Wire.tap`).

Nothing but texts goes this way, and none does where anything is out of the ordinary: a middleware
that wraps ``send`` or ``receive``, a connection that compresses, is closing or isn't read from, a
server, or a version of one, that has other attributes than those that are relied on. ``send`` and
``receive`` are for these.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol


def text_frame(text: str) -> bytes:
    """A text message as a server's frame of it (RFC 6455, 5.2): final, unmasked, uncompressed."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


#: Is shown the bytes of a text message; True: there is nothing else to be done about it.
Taker = Callable[[bytes], bool]


class Wire(Protocol):
    """A connection's transport."""

    def write(self, frame: bytes) -> bool:
        """Write a frame after all that was sent before; False: not now, and nothing was done."""

    def tap(self, receive: Any, take: Taker) -> None:
        """Show what comes to `take` before ASGI's `receive` is given it, if that is the server's.

        Not all that comes need be shown. What is taken isn't received.
        """

    def untap(self) -> None:
        """Show it nothing more."""


def wire_of(send: Any) -> Wire | None:
    """The transport behind an ASGI ``send``, where it is a known server's own."""
    return _Uvicorn.behind(send) or _Daphne.behind(send)


class _Uvicorn:
    """uvicorn's state of a connection, asyncio's transport."""

    # Each thing that a delivery looks at is one that isn't in the processor's cache.
    __slots__ = ("_protocol", "_transport", "_writable")

    RELIED_ON = (
        "close_sent",
        "conn.extensions",
        "handshake_complete",
        "transport.is_closing",
        "transport.write",
        "writable.is_set",
    )

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._writable = protocol.writable

    @classmethod
    def behind(cls, send: Any) -> _Uvicorn | None:
        module = sys.modules.get("uvicorn.protocols.websockets.websockets_sansio_impl")
        known = getattr(module, "WebSocketsSansIOProtocol", None)
        if known is None or not isinstance(send, MethodType) or send.__func__ is not known.send:
            return None
        protocol: Any = send.__self__
        if not all(_has(protocol, path) for path in cls.RELIED_ON):
            return None
        # Compression is agreed on before the application begins.
        return None if protocol.conn.extensions else cls(protocol)

    def write(self, frame: bytes) -> bool:
        protocol = self._protocol
        if (
            protocol.close_sent
            or not protocol.handshake_complete
            or not self._writable.is_set()
            or self._transport.is_closing()
        ):
            return False
        self._transport.write(frame)
        return True

    def tap(self, receive: Any, take: Taker) -> None:
        protocol: Any = self._protocol
        handle = getattr(protocol, "handle_text", None)
        method = getattr(type(protocol), "receive", None)
        if handle is None or not _is_method(receive, method, protocol):
            return

        # What comes in parts is put together later, and isn't shown.
        def handle_text(event: Any) -> None:
            if not event.fin or protocol.close_sent or not take(event.data):
                handle(event)

        protocol.handle_text = handle_text

    def untap(self) -> None:
        self._protocol.__dict__.pop("handle_text", None)


class _Daphne:
    """Autobahn's state of a connection, Twisted's transport."""

    __slots__ = ("_at_once", "_details", "_protocol")

    RELIED_ON = ("_perMessageCompress", "send_queue", "state", "STATE_OPEN", "transport.write")
    #: What of Twisted's transport over TCP tells that nothing waits to be written, and writes.
    AT_ONCE = ("_tempDataBuffer", "connected", "dataBuffer", "disconnecting", "writeSomeData")

    def __init__(self, protocol: Any, details: Any) -> None:
        self._protocol = protocol
        self._details = details
        transport = protocol.transport
        self._at_once = type(transport).__module__ == "twisted.internet.tcp" and all(
            _has(transport, path) for path in self.AT_ONCE
        )

    @classmethod
    def behind(cls, send: Any) -> _Daphne | None:
        server = getattr(sys.modules.get("daphne.server"), "Server", None)
        if (
            server is None
            or not isinstance(send, functools.partial)
            or not isinstance(send.func, MethodType)
            or send.func.__func__ is not server.handle_reply
            or len(send.args) != 1
        ):
            return None
        (protocol,) = send.args
        if not all(_has(protocol, path) for path in cls.RELIED_ON):
            return None
        running: Any = send.func.__self__
        details = running.connections.get(protocol)
        return None if details is None else cls(protocol, details)

    def write(self, frame: bytes) -> bool:
        protocol = self._protocol
        if (
            protocol.state != protocol.STATE_OPEN
            or protocol._perMessageCompress is not None
            or protocol.send_queue
            or self._details.get("disconnected")
        ):
            return False
        transport = protocol.transport
        if (
            self._at_once
            and transport.connected
            and not (transport.disconnecting or transport.dataBuffer or transport._tempDataBuffer)
        ):
            # Twisted itself would begin to watch the socket, write when that can be written to,
            # and watch it no longer: three system calls for one.
            written = transport.writeSomeData(frame)
            if written == len(frame):
                return True
            if isinstance(written, int):
                frame = frame[written:]
        transport.write(frame)
        return True

    def tap(self, receive: Any, take: Taker) -> None:
        protocol: Any = self._protocol
        handle = getattr(protocol, "onMessage", None)
        queue = getattr(protocol, "application_queue", None)
        if handle is None or not _is_method(receive, asyncio.Queue.get, queue):
            return

        def on_message(payload: bytes, binary: bool) -> None:
            if binary or protocol.muted or not take(payload):
                handle(payload, binary)
            else:
                # Whoever is heard of needn't be pinged.
                protocol.last_ping = time.time()

        protocol.onMessage = on_message

    def untap(self) -> None:
        self._protocol.__dict__.pop("onMessage", None)


def _is_method(called: Any, function: Any, of: Any) -> bool:
    """Is it this function, as a method of this object?"""
    return isinstance(called, MethodType) and called.__func__ is function and called.__self__ is of


def _has(thing: Any, path: str) -> bool:
    for name in path.split("."):
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True
