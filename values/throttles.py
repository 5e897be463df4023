"""How often one may ask for values, and write them."""

from databinding.throttling import ActionThrottle


class Asking(ActionThrottle):
    """Of one user, or of one address: everything but subscribing (`ASKING_RATE`)."""

    scope = "asking"
    detail = "You ask more often than others can."
