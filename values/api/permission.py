"""Who may see which part of the past: what the bindings say of the values, now and as they were."""

from databinding.binding import Binding
from databinding.legible import legible
from databinding.parts import parts
from values.samples.moments import last_forms


def visible(actions, kind, keys):
    """Those of these values of which this user may see the past, in a few queries for all.

    Raises what the binding's `retrieve` of one of them raises.
    """
    there = actions.rows(keys)
    gone = [key for key in keys if key not in there]
    was = {one.key: one for one in seen_of(actions, last_forms(kind, gone))}
    for last in was.values():
        actions.permit("retrieve", last.row())
    return [key for key in keys if key in there or key in was]


def readable(binding, user):
    """Names of fields that this user is sent."""
    names = {*binding.field_names()}
    his = binding().readable_fields(user)
    return names if his is None else names.intersection(his)


def seen_of(actions, found):
    """Those that these groups see: by their rows or, of what was deleted, by what it was."""
    binding = actions.binding
    ask = getattr(binding.get_queryset, "__func__", binding.get_queryset)
    own = ask is not Binding.get_queryset.__func__
    groups = binding.constant_groups()
    if groups is not None and not own:
        return [] if groups.isdisjoint(actions.groups) else found
    keys = [one.key for one in found]
    seen, there = set(), set()
    for part in parts(keys):
        rows = binding.model._base_manager.filter(pk__in=part)
        there.update(rows.values_list("pk", flat=True))
        rows = legible(actions.seen(), part)
        seen.update(row.pk for row in rows if not actions.groups.isdisjoint(binding.groups_of(row)))
    return [
        one
        for one in found
        if one.key in seen
        # A queryset of the binding's own can't be asked about what isn't there any more.
        or (
            (one.key not in there and not own)
            and not actions.groups.isdisjoint(binding.groups_of(one.row()))
        )
    ]
