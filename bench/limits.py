"""The limit of a machine: frames made beforehand, in a loop around `socket.send`.

    python -m bench.limits PORT

It is asked like the bare ASGI application: `GET /bench/run?first=…&count=…&gap=…&rows=…`.
"""

import base64
import hashlib
import re
import select
import socket
import struct
import sys
import time
from urllib.parse import parse_qs, urlsplit

from bench.frames import name_of, text

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def framed(data):
    size = len(data)
    return (b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size))) + data


def serve(port):
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(1000)
    clients = {}
    while True:
        ready, _, _ = select.select([listening], [], [])
        new, _ = ready[0].accept()
        new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            read = new.recv(4096)
            if not read:
                break
            head += read
        if key := re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE):
            accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
            new.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            clients[new] = None
            continue
        new.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        new.close()
        if b"/bench/run" in head:
            asked = parse_qs(urlsplit(head.split()[1].decode()).query)
            first, count, rows = (int(asked[name][0]) for name in ("first", "count", "rows"))
            for value in range(first, first + count):
                frame = framed(text(name_of(value, rows), value).encode())
                for client in clients:
                    client.send(frame)
                time.sleep(float(asked["gap"][0]))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
