"""The raw websocket application at `ws /`: plain ASGI, no Channels."""


async def websocket_application(scope, receive, send):
    """Answer text `ping` with `pong!`, ignore everything else, end when the peer is gone."""
    accepted = False
    while True:
        event = await receive()
        kind = event["type"]
        if kind == "websocket.connect" and not accepted:
            accepted = True
            await send({"type": "websocket.accept"})
        elif kind == "websocket.receive" and accepted and event.get("text") == "ping":
            try:
                await send({"type": "websocket.send", "text": "pong!"})
            except OSError:  # uvicorn's word for a peer that left meanwhile; the disconnect follows
                return
        elif kind == "websocket.disconnect":
            return
