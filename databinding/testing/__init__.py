"""For tests of one's own bindings: docs/reference/testing.md.

Needs the package ``websockets``: ``pip install django-databinding[testing]``.
"""

from databinding.testing.client import Visitor
from databinding.testing.copy import BrokenRule, Copy, Invariant, Rows, constant_sum, never_shrinks
from databinding.testing.groups import assert_groups_agree
from databinding.testing.oracle import Fault, Oracle, Stamp, Stream, rows_of
from databinding.testing.report import Report, Violation

__all__ = [
    "BrokenRule",
    "Copy",
    "Fault",
    "Invariant",
    "Oracle",
    "Report",
    "Rows",
    "Stamp",
    "Stream",
    "Violation",
    "Visitor",
    "assert_groups_agree",
    "constant_sum",
    "never_shrinks",
    "rows_of",
]
