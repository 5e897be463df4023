"""Do `group_names(instance)` and `rows(group)` of a binding say the same?

A group is loaded by the one and kept up to date by the other, so where they differ a page shows
something else after a reload.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from databinding.binding import Binding
from databinding.difference import Key
from databinding.form import form_of, nobody


def assert_groups_agree(
    binding: type[Binding], groups: Iterable[str] = (), *, user: Any = None
) -> None:
    """Raise `AssertionError` where the two differ, for the rows that the database has now.

    Asked are the groups that `group_names` gives for any row, and those of `groups`, such as one
    that should be empty. A binding without `rows` has nothing to disagree with. Of one whose
    `get_queryset` looks at its user, the rows are those that `user` sees (nobody that is known,
    unless given).
    """
    form = form_of(binding, nobody() if user is None else user)
    by_row: dict[str, set[Key]] = {name: set() for name in groups}
    for instance in form.queryset():
        for name in binding.groups_of(instance):
            by_row.setdefault(name, set()).add(binding.key(instance))
    wrong = []
    for name, keys in by_row.items():
        rows = form.of_group(name)
        if rows is None:
            return
        by_group = {binding.wire_key(pk) for pk in rows.values_list("pk", flat=True)}
        for said, keys_so, not_so in (
            ("group_names() alone puts", keys - by_group, "rows() doesn't"),
            ("rows() alone puts", by_group - keys, "group_names() doesn't"),
        ):
            if keys_so:
                wrong.append(f"{said} {sorted(keys_so)} into {name!r}; {not_so}.")
    if wrong:
        raise AssertionError(f"{binding.__qualname__}: " + " ".join(wrong))
