"""Django models, live in the browser.

Declare a binding (see `databinding.websockets`) in an app's ``bindings.py``; from then on every
committed change of its model reaches every subscribed websocket, whatever wrote it. What nothing
could see, `databinding.touch` tells of.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databinding.touching import touch

__version__ = "0.1.0"

__all__ = ["__version__", "touch"]


def __getattr__(name: str) -> Any:
    if name != "touch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not before it is asked for: Django imports this module before there are models.
    from databinding.touching import touch

    return touch
