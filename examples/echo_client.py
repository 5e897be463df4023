"""Says something to the echo server and prints its answers: `python examples/echo_client.py`.

    python examples/echo_client.py One "and another"

Its server is examples/echo_server.py on localhost:8765, or the PORT that the environment names.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

HOST, PORT = "localhost", int(os.environ.get("PORT", 8765))
URL = f"ws://{HOST}:{PORT}"


async def main(messages):
    async with connect(URL) as websocket:
        for message in messages:
            await websocket.send(message)
            print(await websocket.recv())


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:] or ["Hello!"]))
    except ConnectionClosed as closed:
        sys.exit(f"The server at {URL} ended the conversation: {closed}.")
    except InvalidHandshake:
        sys.exit(f"What answers at {URL} is no websocket server.")
    except OSError:
        sys.exit(f"There is no server at {URL}: start examples/echo_server.py first.")
