"""How many connections one user, and one address, have open in this process.

Counting them for all processes together would need a place that all reach at each handshake, and
that forgets what a killed process had. So with N processes there may be N times as many.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from databinding.address import client_address, is_of_this_machine
from databinding.bearers import name_of
from databinding.conf import settings
from databinding.limits import Tenancy

_open = Tenancy()


class Crowded(Exception):
    """Somebody has too many connections; `whose` says who: "user" or "address"."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"There are too many connections of this {whose}.")
        self.whose = whose


def address_of(scope: Mapping[str, Any]) -> str | None:
    """The address that an ASGI connection comes from, proxies considered; None if unknown."""
    peer = scope.get("client")
    return client_address(
        peer[0] if peer else None,
        scope.get("headers", ()),
        proxies=settings.TRUSTED_PROXIES,
        header=settings.FORWARDED_HEADER,
    )


#: As whose a connection is counted.
Counted = tuple[str, Hashable]


def count_in(scope: Mapping[str, Any]) -> list[Counted]:
    """Count a connection, as what is returned, until `count_out`. Raises `Crowded`.

    Not counted are the user of whom nothing is known, and this machine as an address: either
    stands for many.
    """
    counted: list[Counted] = []
    for whose, who, most in _limits(scope):
        if not _open.take((whose, who), most):
            count_out(counted)
            raise Crowded(whose)
        counted.append((whose, who))
    return counted


def count_out(counted: Iterable[Counted]) -> None:
    """The connection has ended."""
    for one in counted:
        _open.give_back(one)


def _limits(scope: Mapping[str, Any]) -> Iterator[tuple[str, Hashable, int]]:
    user = scope.get("user")
    if user is not None and user.is_authenticated:
        yield "user", name_of(user), settings.MAX_USER_CONNECTIONS
    address = address_of(scope)
    if address is not None and not is_of_this_machine(address):
        yield "address", address, settings.MAX_ADDRESS_CONNECTIONS
