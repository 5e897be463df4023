"""What classes do, as a short text: other code gives another one, the same code the same anywhere.

It sees what stands in the classes themselves: their methods and properties, and plain values. What
those call elsewhere it doesn't follow.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from django.utils.functional import cached_property

#: Whose classes are left out: others than a project's, with counters of their own in them.
_OTHERS = ("builtins", "django", "rest_framework")

#: Values that are written the same in every process.
_PLAIN = (bool, bytes, float, int, str, type(None))


def fingerprint(classes: Iterable[type]) -> str:
    """Of these classes, each with those that it inherits from."""
    seen: dict[type, None] = {}
    for one in classes:
        theirs = (each for each in one.__mro__ if each.__module__.split(".")[0] not in _OTHERS)
        seen.update(dict.fromkeys(theirs))
    digest = hashlib.sha256()
    for one in seen:
        for text in _described(one):
            digest.update(f"{text}\0".encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()[:16]


def _described(one: type) -> Iterator[str]:
    yield f"{one.__module__}.{one.__qualname__}"
    for name, value in sorted(vars(one).items()):
        for code in _codes(value):
            yield f"{name} {_code(code)}"
        # Where a class stands, how it is documented, what it keeps for itself: not what it does.
        if not name.startswith("_") and (text := _plain(value)) is not None:
            yield f"{name} {text}"


def _codes(value: Any) -> Iterator[CodeType]:
    """Those of a function, also within what decorates or describes it."""
    # Of anything else even to look at it may do something: it may be lazy.
    match value:
        case FunctionType():
            yield value.__code__
            yield from _codes(getattr(value, "__wrapped__", None))
        case classmethod() | staticmethod():
            yield from _codes(value.__func__)
        case property():
            yield from _codes(value.fget)
        case functools.partial() | functools.partialmethod():
            yield from _codes(value.func)
        case functools.cached_property() | cached_property():
            yield from _codes(value.func)


def _code(code: CodeType) -> str:
    constants = [_constant(value) for value in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_freevars))


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, frozenset):
        return str(sorted(map(repr, value)))  # In whatever order a process likes.
    return repr(value)


def _plain(value: Any) -> str | None:
    """What a value is, if that can be said; None: it can't."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, (list, tuple)):
        parts = [_plain(one) for one in value]
        return None if None in parts else str(parts)
    return None
