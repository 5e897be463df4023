"""An echo over websockets, without Django: `python examples/echo_server.py`.

It listens on localhost:8765, or the PORT that the environment names. Ctrl-C ends it, or SIGTERM.
"""

import asyncio
import errno
import os
import signal
import sys
from contextlib import suppress

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

HOST, PORT = "localhost", int(os.environ.get("PORT", 8765))


async def echo(websocket):
    """One connection, from its opening to its end."""
    with suppress(ConnectionClosed):  # a client may go without a word, also while it is answered
        async for message in websocket:
            if isinstance(message, str):  # binary frames are bytes, and go unanswered
                print(f"Received message: {message}")
                await websocket.send(f"Echo: {message}")


async def main():
    async with serve(echo, HOST, PORT) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Clients are told (close code 1001, "going away") before the program ends.
            asyncio.get_running_loop().add_signal_handler(number, server.close)
        print(f"Listening on ws://{HOST}:{PORT}")
        await server.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {PORT} is taken: stop what listens there, or name another: PORT=N.")
