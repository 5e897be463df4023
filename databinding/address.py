"""Where a client is, by what the nearest hosts say of it: pure.

Proxies write the address that they were asked from into a header, each behind what it found there:
only the entries from the right, as many as there are proxies of ours, were written by them; the
rest is what a client claims (RFC 7239, section 8.1).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

#: Bits of an IPv6 address that tell hosts' networks apart: each has a /64 to itself (RFC 6177).
IPV6_PREFIX: Final = 64

_QUOTED = r'"(?:[^"\\]|\\.)*"'
#: Elements of ``Forwarded``, and their parameters: a quoted comma or semicolon ends neither.
_ELEMENT = re.compile(rf"(?:[^,\"]|{_QUOTED})+")
_PARAMETER = re.compile(rf"\s*([^=;\"\s]+)=({_QUOTED}|[^;\"\s]*)\s*(?:;|$)")


def client_address(
    peer: str | None,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    proxies: int = 0,
    header: str = "x-forwarded-for",
) -> str | None:
    """The client's IPv4 address, or its IPv6 network; None if nobody can tell.

    `peer` is who opened the connection, `headers` are those of the request. With `proxies` of ours
    in between, the address is what the outermost of them wrote into `header`
    (``X-Forwarded-For``, or ``Forwarded``); from whoever comes without it, the peer's.
    """
    said = forwarded(headers, header) if proxies > 0 else []
    return network(said[-proxies:][0] if said else peer or "")


def forwarded(headers: Iterable[tuple[bytes, bytes]], header: str) -> Sequence[str]:
    """The addresses that proxies wrote down, the nearest one's last."""
    wanted = header.lower().encode("latin-1")
    lines = [value.decode("latin-1") for name, value in headers if name.lower() == wanted]
    text = ",".join(lines)  # A header that is there twice is one list (RFC 9110, section 5.3).
    if wanted != b"forwarded":
        return [part.strip() for part in text.split(",")] if lines else []
    # A proxy that doesn't say is a place in the list, too.
    return [_said_for(element) for element in _ELEMENT.findall(text) if element.strip()]


def _said_for(element: str) -> str:
    for name, value in _PARAMETER.findall(element):
        if name.lower() == "for":
            return re.sub(r"\\(.)", r"\1", value.strip('"'))
    return ""


def network(text: str) -> str | None:
    """The IPv4 address, or the IPv6 network, of an address as it may be written, with a port."""
    text = text.strip()
    if match := re.fullmatch(r"\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+", text):
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.is_loopback:
            return str(address)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return str(address)


def is_of_this_machine(address: str) -> bool:
    """Is it a loopback address, as of a proxy on the same machine?"""
    return "/" not in address and ipaddress.ip_address(address).is_loopback
