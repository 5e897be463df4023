"""Django models, live in the browser.

Declare a binding (see `databinding.websockets`) in an app's ``bindings.py``; from then on every
committed change of its model reaches every subscribed websocket, whatever wrote it.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
