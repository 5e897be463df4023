"""Where a client is, by what the nearest hosts say of it: pure.

Proxies write the address that they were asked from into a header, each behind what it found there:
only the entries from the right, as many as there are proxies of ours, were written by them; the
rest is what a client claims (RFC 7239, section 8.1).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

#: Bits of an IPv6 address that tell hosts' networks apart: each has a /64 to itself (RFC 6177).
IPV6_PREFIX: Final = 64


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
    said = forwarded(headers, header, proxies) if proxies > 0 else []
    return network(said[0] if said else peer or "")


def forwarded(headers: Iterable[tuple[bytes, bytes]], header: str, most: int) -> Sequence[str]:
    """The last addresses that proxies wrote down, so many at most, the nearest one's last."""
    wanted = header.lower().encode("latin-1")
    lines = [value.decode("latin-1") for name, value in headers if name.lower() == wanted]
    text = ",".join(lines)  # A header that is there twice is one list (RFC 9110, section 5.3).
    if wanted != b"forwarded":
        return [part.strip() for part in text.rsplit(",", most)[-most:]] if lines else []
    # A proxy that doesn't say is a place in the list, too.
    elements = (element for element in _from_the_right(text, ",") if element.strip())
    return [_said_for(element) for element in islice(elements, most)][::-1]


def _from_the_right(text: str, separator: str) -> Iterator[str]:
    """What stands between separators, but for those in quotation marks; the last part first.

    Quotation marks to the left of a part, which a client may have left open, are no matter to it.
    """
    end, quoted = len(text), False
    for place in range(end - 1, -1, -1):
        if text[place] == '"' and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif text[place] == separator and not quoted:
            yield text[place + 1 : end]
            end = place
    yield text[:end]


def _said_for(element: str) -> str:
    for parameter in _from_the_right(element, ";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "for":
            return re.sub(r"\\(.)", r"\1", value.strip().strip('"'))
    return ""


@functools.lru_cache(maxsize=4096)
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


@functools.lru_cache(maxsize=4096)
def is_of_this_machine(address: str) -> bool:
    """Is it a loopback address, as of a proxy on the same machine?"""
    return "/" not in address and ipaddress.ip_address(address).is_loopback
