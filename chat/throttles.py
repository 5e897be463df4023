"""How often one may write: Django REST framework's throttles, asked by consumers."""

from uuid import uuid4

from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle


class ConnectionThrottle(SimpleRateThrottle):
    """So often in a minute: of a user in all their connections, or else of one connection."""

    def get_cache_key(self, consumer, view):
        user = consumer.scope.get("user")
        if user is not None and user.is_authenticated:
            ident = f"user-{user.pk}"
        else:
            ident = consumer.scope.setdefault("chat-connection", uuid4().hex)
        return self.cache_format % {"scope": self.scope, "ident": ident}

    @classmethod
    def check(cls, consumer):
        """Raise `TooFast` (429) if it is too often."""
        throttle = cls()
        if not throttle.allow_request(consumer, None):
            raise TooFast(throttle.wait(), cls.detail)


class TooFast(Throttled):
    """Says for how long to wait."""

    extra_detail_singular = "Try again in {wait} second."
    extra_detail_plural = "Try again in {wait} seconds."


class Sending(ConnectionThrottle):
    scope, rate = "chat-sending", "30/min"
    detail = "You write faster than others can read."


class Renewing(ConnectionThrottle):
    scope, rate = "chat-renewing", "30/min"
    detail = "You come and go too often."
