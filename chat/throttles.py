"""How often one may write, and come and go."""

from uuid import uuid4

from databinding.throttling import ActionThrottle


class OfPage:
    """Of who isn't logged in, each page by itself: many may come from one address."""

    def get_ident(self, request):
        return request.scope.setdefault("chat-page", uuid4().hex)


class Sending(OfPage, ActionThrottle):
    actions, rate = ("create",), "30/min"
    detail = "You write faster than others can read."


class SendingOfAddress(ActionThrottle):
    actions, rate = ("create",), "300/min"
    detail = "There are too many messages from where you are."


class Renewing(OfPage, ActionThrottle):
    actions, rate = ("here",), "30/min"
    detail = "You come and go too often."


class RenewingOfAddress(ActionThrottle):
    actions, rate = ("here",), "1200/min"
    detail = "Too many come and go from where you are."


class Opening(ActionThrottle):
    """Of rooms: whoever asks for ever other ones is no visitor."""

    actions, rate = ("open",), "60/hour"
    detail = "Too many new rooms were opened from where you are."


class Reading(ActionThrottle):
    actions, rate = ("list", "retrieve"), "30/sec"
    detail = "You ask more often than others can."
