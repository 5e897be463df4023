"""What one pass of the relay reads, inside its transaction: rows, as fragments and groups.

Rows are read by each binding's queryset and rendered once. User code and the database's own
converters run here, and what they raise is the fault of its row, or of its binding, and stays
there: that row stays as it was, for everybody, and is logged. Only a database that doesn't even
answer for its journal is taken to be away, and ends the pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Model, QuerySet

from databinding.accounts import users_by_key
from databinding.bearers import Bearer, key_of
from databinding.conf import settings
from databinding.difference import Group, Key, RecentMembers, Rows, Window
from databinding.form import Form, UserKey, nobody
from databinding.journal import Journal
from databinding.locks import gave_up
from databinding.parts import parts
from databinding.rights import rights_of
from databinding.statements import Statements
from databinding.stray import STRAY, caught

logger = logging.getLogger("databinding")

T = TypeVar("T")

#: Makes a queryset, for which it may ask the database.
Ask = Callable[[], QuerySet[Any]]

#: Reads instances.
Read = Callable[[], Iterable[Model]]

#: What a database that is away or busy raises. A faulty query may raise the same.
DATABASE_AWAY = (OperationalError, InterfaceError)


class Row(NamedTuple):
    """A row as it is in this reading.

    ``fragment`` None: it can't be rendered; ``groups`` None: nor can its groups be told.
    """

    key: Key
    fragment: str | None
    groups: frozenset[str] | None


class Found:
    """Rows that were read, as columns: for why, see `databinding.difference`."""

    __slots__ = ("_fragments", "_groups", "_keys", "_sets")

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._keys: list[Key] = []
        self._fragments: list[str | None] = []
        self._groups: list[frozenset[str] | None] = []
        # Each set of groups once.
        self._sets: dict[frozenset[str] | None, frozenset[str] | None] = {}
        self.extend(rows)

    def extend(self, rows: Iterable[Row]) -> None:
        for key, fragment, groups in rows:
            self._keys.append(key)
            self._fragments.append(fragment)
            self._groups.append(self._sets.setdefault(groups, groups))

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self._keys, self._fragments, self._groups)

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> list[Key]:
        return self._keys


class Change(NamedTuple):
    """What is to be applied to `Rows`: rows that are there, and keys that are gone.

    ``windows`` has the rows of windows that may show others now. Of a ``blind`` change no keys
    have told: groups that are only followed can't know what they have missed.
    """

    rows: Found
    gone: list[Key]
    windows: Mapping[Window, Sequence[tuple[Key, str]]] = {}
    blind: bool = False

    def keys(self) -> set[Key]:
        """The rows that it is about."""
        return {*self.rows.keys(), *self.gone}

    def apply(self, to: Rows, number: int) -> None:
        for window, shown in self.windows.items():
            to.hide(window, number, dict(shown))
        for key in self.gone:
            to.drop(key, number)
        for row in self.rows:
            if row.groups is None:
                continue  # It stays as it was.
            if row.fragment is not None:
                to.put(row.key, row.fragment, row.groups, number)
            elif row.key in to.fragments:
                # What it is can't be told, but whom it has left can.
                stays = [name for name in row.groups if name in to.index[row.key]]
                to.put(row.key, to.fragments[row.key], stays, number)
        for window, shown in self.windows.items():
            to.show(window, number, shown)
        if self.blind:
            to.follow_anew(number)


class Sieve:
    """Lets through, of all rows, those that aren't held as they are.

    So reading everything anew takes memory for what differs, and for the keys of the rest.
    """

    def __init__(self, held: Rows) -> None:
        self._held = held
        self._there: set[Key] = set()

    def __call__(self, row: Row) -> bool:
        self._there.add(row.key)
        return row.groups is None or not self._held.holds(row.key, row.fragment, row.groups)

    def gone(self) -> list[Key]:
        """What is held, and hasn't come by."""
        return [key for key in self._held.index if key not in self._there]


class Reader:
    """Reads in the transaction of one pass, from the database of its journal."""

    def __init__(
        self, journal: Journal, held: dict[Form, Rows], statements: Statements | None = None
    ) -> None:
        self.journal = journal
        self._held = held
        self._statements = statements or Statements(journal.alias)
        #: Rows that could not be read or rendered, as texts of their keys; None: the whole form.
        self.faulty: dict[Form, set[str | None]] = {}
        #: Personal forms to be read anew as soon as may be.
        self.anew: set[Form] = set()
        # By themselves: one that was forgotten and is met anew equals the one before.
        self._represented: dict[Form, Form] = {}

    @property
    def vacant(self) -> set[Form]:
        """Forms that were to be read and weren't: nobody has their key."""
        return {form for form in self._represented.values() if form.vacant}

    def represent(self, forms: Iterable[Form]) -> set[Form]:
        """Have personal forms asked on behalf of users as they are in this state.

        A handful of queries for all of them. Returns those whose users have other rights than when
        all their rows were read: they have to be read anew. Raises what asking for users does.
        """
        personal = {
            form for form in forms if form.personal and self._represented.get(form) is not form
        }
        if not personal:
            return set()
        found, rights = self._users_of(personal)
        stale = set()
        for form in personal:
            self._represented[form] = form
            user = found.get(form)
            if not form.represent(user, "" if user is None else rights.get(key_of(user), "")):
                stale.add(form)
        return stale

    def represented(self, forms: Collection[Form]) -> tuple[set[Form], set[Form]]:
        """Those of these forms that may be read now, and those of them that are to be read anew.

        Where users can't be asked for, personal forms stay as they were, and are owed.
        """
        try:
            return set(forms), self.represent(forms)
        except Exception as error:
            self.raise_if_away(error)
            logger.exception("Whose rows are whose can't be told.")
            personal = {form for form in forms if form.personal}
            for form in personal:
                self.owe(form, None)
            return set(forms) - personal, set()

    def _users_of(self, personal: Collection[Form]) -> tuple[dict[Form, Any], dict[Any, str]]:
        """By form on whose behalf it is asked, if anybody has its key; and their rights."""
        found: dict[Form, Any] = {}
        left = {form: form.candidates() for form in personal}
        # Mostly who was asked for last will do again; of the others there may be thousands.
        for part in (slice(1), slice(1, None)):
            asked = {key for some in left.values() for key in some[part]}
            keys = {key for key in asked if key is not None and not isinstance(key, Bearer)}
            users = self._guarded(partial(users_by_key, keys))
            for form, candidates in list(left.items()):
                them = [_known_by(key, users) for key in candidates[part]]
                if (user := self._with_key(form, them)) is not None:
                    found[form] = user
                    del left[form]
            if not left:
                break
        return found, self._guarded(lambda: rights_of(found.values()))

    def _with_key(self, form: Form, users: Iterable[Any]) -> Any:
        """The first of these users who has the form's key; None: none of them has."""
        fault: Exception | None = None
        for user in users:
            try:
                if isinstance(user, Exception):
                    raise user
                if user is not None and self._guarded(partial(form.is_of, user)):
                    return user
            except Exception as error:
                self.raise_if_away(error)
                fault = error
        if fault is not None:
            logger.error("%s: audience_key() can't be asked.", form, exc_info=fault)
            self.owe(form, None)
        return None

    def change(self, form: Form, texts: Collection[str | None], rows: Rows) -> Change:
        """What became of the rows with these keys, None among them: of any row that is held.

        Raises what the binding's querysets raise.
        """
        if None in texts:
            change = self.compared(form, rows)._replace(blind=True)
            form.read_anew()
            return change
        change = self.keys(form, [text for text in texts if text is not None])
        shown, _ = self._shown(form, rows, _touched(rows, change), change, known=rows.fragments)
        return change._replace(windows=shown)

    def compared(self, form: Form, rows: Rows) -> Change:
        """How what is held differs from what is there.

        Raises what the binding's querysets raise.
        """
        sieve = Sieve(rows)
        change = Change(self.all(form, rows.held(), rows, sieve), [])
        shown, read = self._shown(form, rows, rows.windows(), change, known=())
        change.rows.extend(filter(sieve, read))
        return change._replace(gone=sieve.gone(), windows=shown)

    def _shown(
        self,
        form: Form,
        rows: Rows,
        windows: list[Window],
        change: Change,
        known: Container[Key],
    ) -> tuple[dict[Window, list[tuple[Key, str]]], Found]:
        """What windows show after a change, and the rows that had to be read for it: those that
        are neither in the change nor `known` to be as they are held."""
        if not windows:
            return {}, Found()
        places = self._places(form, rows, windows)
        read = {row.key: row for row in change.rows}
        wanted = dict.fromkeys(key for keys in places.values() for key in keys)
        more = self._by_keys(form, [key for key in wanted if key not in read and key not in known])
        read.update((row.key, row) for row in more)
        gone = {*change.gone, *(key for key in wanted if key not in read and key not in known)}

        def shown(window: Window) -> Iterator[tuple[Key, str]]:
            for key in places[window]:
                row = read.get(key)
                groups = row.groups if row else None
                if key in gone or (groups is not None and groups.isdisjoint(window.groups)):
                    continue
                # One that can't be read stays as it was, or away.
                fragment = (row and row.fragment) or rows.fragments.get(key)
                if fragment is not None:
                    yield key, fragment

        return {window: list(shown(window)) for window in windows}, more

    def keys(self, form: Form, texts: Collection[str]) -> Change:
        """The rows with these keys (as the journal holds them), and which are gone."""
        wanted: list[Key] = []
        for text in texts:
            try:
                wanted.append(form.binding.key_from_text(text))
            except Exception:
                logger.exception("%s: %r isn't a primary key.", form, text)
        rows = self._by_keys(form, wanted)
        there = set(rows.keys())
        return Change(rows, [key for key in wanted if key not in there])

    def all(
        self,
        form: Form,
        groups: Collection[str],
        held: Rows | None = None,
        sieve: Sieve | None = None,
    ) -> Found:
        """Every row that is in one of these groups; of those the ones that a sieve lets through.

        Raises what `get_queryset` raises. So it does with `rows`, unless the groups are held: then
        one whose rows can't be asked for keeps those that it has, as far as they are still its own.
        """
        constant = form.binding.constant_groups()
        if constant is not None and constant.isdisjoint(groups):
            return Found()
        rows, there = Found(), set[Key]()
        for group in groups:
            try:
                queryset = self._guarded(partial(form.of_group, group))
            except Exception as error:
                if held is None:
                    raise
                self._pass_over(form, error)
                keys = list(held.groups[group].present)
                found = self._by_keys(form, keys, groups, sieve)
            else:
                if queryset is None:
                    # rows() doesn't say: ask every row which groups it is in.
                    return self._scan(form, form.queryset, groups, sieve)
                found = self._scan(form, queryset.all, groups, sieve)
            if len(groups) == 1:
                return found
            rows.extend(row for row in found if row.key not in there)
            there.update(found.keys())
        return rows

    def owe(self, form: Form, key: Key | None) -> None:
        """Note what has to be read again, since it couldn't be now; until then it is in doubt."""
        text = None if key is None else form.binding.text_from_key(key)
        self.faulty.setdefault(form, set()).add(text)
        self._held[form].doubtful = True

    def page(self, form: Form, after: Key | None, size: int) -> list[Row]:
        """The next rows by primary key of a binding whose rows are all in the same groups."""
        if form.binding.changes_only:
            return []

        def ask() -> QuerySet[Any]:
            rows = form.queryset().order_by("pk")
            return (rows if after is None else rows.filter(pk__gt=after))[:size]

        return list(self._scan(form, ask))

    def load(
        self, form: Form, rows: Rows, names: Collection[Group]
    ) -> dict[Group, list[tuple[Key, str]] | None]:
        """The rows of groups that aren't held yet; None for a group too large to be held."""
        found: dict[Group, list[tuple[Key, str]] | None] = {}
        groups = [name for name in names if isinstance(name, str)]
        if groups:
            found.update(self._load_groups(form, rows, groups))
        for name in names:
            if isinstance(name, Window):
                found[name] = self._load_window(form, rows, name)
        return found

    def _load_window(self, form: Form, rows: Rows, window: Window) -> list[tuple[Key, str]]:
        keys = self._first(form, *window)
        missing = [key for key in keys if key not in rows.fragments]
        read = {row.key: row.fragment for row in self._by_keys(form, missing)}
        found = ((key, rows.fragments.get(key) or read.get(key)) for key in keys)
        return [(key, fragment) for key, fragment in found if fragment is not None]

    def _load_groups(
        self, form: Form, rows: Rows, groups: Collection[str]
    ) -> dict[str, list[tuple[Key, str]] | None]:
        constant = form.binding.constant_groups()
        if constant is not None and not constant.isdisjoint(groups) and form.sees_all():
            large = any(isinstance(members, RecentMembers) for members in rows.groups.values())
            large = large or form.binding.changes_only
            if large or self._guarded(lambda: form.queryset().count()) > settings.GROUP_LIMIT:
                return {group: None if group in constant else [] for group in groups}
        found: dict[str, list[tuple[Key, str]] | None] = {group: [] for group in groups}
        for row in self.all(form, groups):
            if row.fragment is not None:
                for group in (row.groups or frozenset()).intersection(groups):
                    found[group].append((row.key, row.fragment))  # type: ignore[union-attr]
        return found

    def _places(self, form: Form, rows: Rows, windows: Iterable[Window]) -> dict[Window, list[Key]]:
        """What windows show now, in order; of one whose rows can't be asked for, what it did."""
        limits: dict[tuple[str, ...], int] = {}
        for window in windows:
            limits[window.groups] = max(window.limit, limits.get(window.groups, 0))
        first: dict[tuple[str, ...], list[Key]] = {}
        for groups, limit in limits.items():
            try:
                # One query for all lengths: those are the clients' choice.
                first[groups] = self._first(form, groups, limit)
            except Exception as error:
                self._pass_over(form, error)
        return {
            window: first[window.groups][: window.limit]
            if window.groups in first
            else rows.order(window)
            for window in windows
        }

    def _first(self, form: Form, groups: tuple[str, ...], limit: int) -> list[Key]:
        """The keys of the first rows of these groups, in the binding's order."""
        keys = self._guarded(
            lambda: list(form.ordered(groups).values_list("pk", flat=True)[:limit])
        )
        return [form.binding.wire_key(key) for key in keys]

    # Faults

    def raise_if_away(self, error: Exception) -> None:
        """Pass over an error that is the fault of what was read, not of a database that is away."""
        if isinstance(error, DATABASE_AWAY):
            self.journal.state()  # Raises the like if it is away.

    def _raise_if_hopeless(self, error: Exception) -> None:
        """Pass over an error that may be the fault of one row."""
        if gave_up(error):
            raise error  # The table is locked; each row of it would be waited for anew.
        self.raise_if_away(error)

    def _pass_over(self, form: Form, error: Exception) -> None:
        """Some rows of a binding stay as they were; all of it is to be read again."""
        self._raise_if_hopeless(error)
        logger.error("%s: rows() can't be asked.", form, exc_info=error)
        self.owe(form, None)

    def _guarded(self, read: Callable[[], T]) -> T:
        # Querysets are made inside, too: what a developer makes them of may ask the database.
        if self.journal.refuses_after_failure:
            with transaction.atomic(using=self.journal.alias):  # a savepoint
                return caught(read)
        try:
            return caught(read)
        except Exception:
            # Whatever was done inside by `atomic` without a savepoint: there is nothing to undo.
            transaction.set_rollback(False, using=self.journal.alias)
            raise

    def _rendered(
        self,
        form: Form,
        read: Read,
        groups: Collection[str] | None,
        sieve: Sieve | None,
    ) -> Found:
        rows = self._guarded(lambda: Found(filter(sieve, _render(form, read(), groups))))
        for row in rows:
            if row.fragment is None:
                self.owe(form, row.key)
        return rows

    def _scan(
        self,
        form: Form,
        ask: Ask,
        groups: Collection[str] | None = None,
        sieve: Sieve | None = None,
    ) -> Found:
        """All rows of a queryset; where one can't even be read, they are read by their keys."""
        try:
            return self._rendered(form, lambda: _instances(ask()), groups, sieve)
        except Exception as error:
            self._raise_if_hopeless(error)
            keys = self._guarded(lambda: list(ask().values_list("pk", flat=True)))
            places = {form.binding.wire_key(key): place for place, key in enumerate(keys)}
            rows = self._by_keys(form, keys, groups, sieve)
            return Found(sorted(rows, key=lambda row: places[row.key]))

    def _by_keys(
        self,
        form: Form,
        keys: list[Any],
        groups: Collection[str] | None = None,
        sieve: Sieve | None = None,
    ) -> Found:
        rows = Found()
        for some in parts(keys):
            rows.extend(self._chunk(form, some, groups, sieve))
        return rows

    def _chunk(
        self,
        form: Form,
        keys: list[Any],
        groups: Collection[str] | None,
        sieve: Sieve | None,
    ) -> Iterable[Row]:
        """The rows with these keys; one that can't be read is found by halving."""
        try:
            return self._rendered(form, partial(self._with_keys, form, keys), groups, sieve)
        except Exception as error:
            self._raise_if_hopeless(error)
            self._guarded(form.queryset)  # Raises if it is the fault of no row.
            if len(keys) == 1:
                logger.exception("%s: row %r can't be read.", form, keys[0])
                key = form.binding.wire_key(keys[0])
                self.owe(form, key)
                return filter(sieve, [Row(key, None, None)])
            half = len(keys) // 2
            return [
                *self._chunk(form, keys[:half], groups, sieve),
                *self._chunk(form, keys[half:], groups, sieve),
            ]

    def _with_keys(self, form: Form, keys: list[Any]) -> Iterable[Model]:
        queryset = form.queryset()
        rows = self._statements.rows(queryset, keys)
        return _instances(queryset.filter(pk__in=keys)) if rows is None else rows


def _instances(queryset: QuerySet[Any]) -> Iterator[Model]:
    return queryset.iterator(chunk_size=2_000)


def _known_by(key: UserKey, users: Mapping[Any, Any]) -> Any:
    """The user with this key; None: he isn't there any more; or why that can't be told."""
    if isinstance(key, Bearer):
        return key.user
    return nobody() if key is None else users.get(key)


def _touched(rows: Rows, change: Change) -> list[Window]:
    """The windows that a change of these rows may make show others."""
    windows = rows.windows()
    if not windows:
        return []
    keys = change.keys()
    touched = {name for key in keys for name in rows.index.get(key, ())}
    for row in change.rows:
        touched |= row.groups or frozenset()
    return [
        window for window in windows if window in touched or not touched.isdisjoint(window.groups)
    ]


def _render(
    form: Form, instances: Iterable[Model], groups: Collection[str] | None
) -> Iterator[Row]:
    """The rows, if groups are given those in one of them."""
    constant = form.binding.constant_groups()
    for instance in instances:
        row = _row(form, instance, constant, groups)
        if groups is None or row.groups is None or not row.groups.isdisjoint(groups):
            yield row


def _row(
    form: Form,
    instance: Model,
    constant: frozenset[str] | None,
    wanted: Collection[str] | None,
) -> Row:
    key = form.binding.key(instance)
    found = None
    try:
        found = form.binding.groups_of(instance) if constant is None else constant
        if wanted is not None and found.isdisjoint(wanted):
            return Row(key, "", found)  # Nobody asks for it; `_render` leaves it out.
        return Row(key, form.fragment(instance), found)
    except DATABASE_AWAY:
        raise  # Whose fault that is is found out in `Reader._chunk`.
    except (Exception, *STRAY):
        logger.exception("%s: row %r can't be rendered.", form, key)
        return Row(key, None, found)
