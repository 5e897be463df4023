"""System checks: what would lose or delay changes is named before it does.

databinding.E001   DATABINDING has an unknown setting, or an impossible value
databinding.E002   a binding names a field that its model doesn't have
databinding.E003   bound models on a database that has no journal
databinding.E004   SQLite in memory: other threads can't see it
databinding.E005   DATABINDING["DOORBELL"] names a channel layer that isn't configured
databinding.E006   bound models on a database that the routers keep the journal from
databinding.E007   triggers are missing, and this database role may not make them
databinding.E008   a binding has order_by, but no such field, or no rows() that can be ordered
databinding.E009   a binding has no group_names()
databinding.E010   a binding's refresh_every is no number of seconds
databinding.E011   a binding's watch has an entry that leads nowhere
databinding.E012   a bound model's rows are those of a view, and nothing else is watched
databinding.E013   a binding's lists are to be filtered, searched or ordered by what isn't there
databinding.E014   a binding has filters, and django-filter isn't installed or in INSTALLED_APPS
databinding.E020   permission_classes of a binding that aren't Django REST framework's
databinding.E021   DATABINDING["AUTHENTICATION"] names what is no authentication class
databinding.W001   SQLite without transaction_mode IMMEDIATE
databinding.W002   SQLite without write-ahead log
databinding.W003   a database's triggers aren't in step with the bindings (run migrate)
databinding.W004   a binding on a large table has groups that depend on the row, and no rows()
databinding.W005   PostgreSQL without a channel layer that reaches other processes
databinding.W006   a router sends what bindings read to another database than is written
databinding.W007   settings that work against each other
databinding.W008   a connection pool in which the relay leaves no room
databinding.W009   a binding overrides what Channels 1 called, and nothing calls now
databinding.W010   with CAPTURE "signals" some writes go unseen, and nothing heals them
databinding.W020   a session engine whose sessions can't be ended by the server
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections, router
from django.db.models import Model
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AND, NOT, OR, BasePermission

from databinding import journal, triggers
from databinding.binding import Binding, aliases, bindings_of, registry
from databinding.conf import DEFAULTS, configured, settings
from databinding.doorbell import channel_layer
from databinding.keyset import Order
from databinding.managers import JournalingQuerySet
from databinding.models import JournalEntry
from databinding.routers import consistent_reads
from databinding.watching import Unwatchable, watches_by, watches_of

CAPTURES = ("triggers", "signals")

#: Methods of Channels 1's bindings that a ported one may still override, to no effect.
UNCALLED = (
    "create",
    "update",
    "delete",
    "run_action",
    "trigger_inbound",
    "deserialize",
    "serialize",
    "encode",
    "send_messages",
    "pre_change_receiver",
    "post_change_receiver",
)

#: From here on asking every row takes noticeable time.
MANY_ROWS = 10_000


@register()
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    for name in configured():
        if name not in DEFAULTS:
            errors.append(
                Error(
                    f"DATABINDING has no setting {name!r}.",
                    hint=f"Its settings are: {', '.join(DEFAULTS)}.",
                    id="databinding.E001",
                )
            )
    if settings.CAPTURE not in CAPTURES:
        errors.append(
            Error(
                f"DATABINDING['CAPTURE'] can't be {settings.CAPTURE!r}.",
                hint="It is 'triggers' or 'signals'.",
                id="databinding.E001",
            )
        )
    for name, default in DEFAULTS.items():
        value = getattr(settings, name)
        number = isinstance(default, (int, float))
        # That there is no proxy is the one 0 that is meant.
        if number and not _is_number_above_0(value) and value is not default:
            errors.append(
                Error(
                    f"DATABINDING[{name!r}] can't be {value!r}.",
                    hint="It is a number greater than 0.",
                    id="databinding.E001",
                )
            )
    return errors or _check_together()


def _is_number_above_0(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _check_together() -> list[CheckMessage]:
    """Settings each of which is right, but not with the other."""
    found: list[CheckMessage] = []
    for less, more, so in (
        (
            "CURSOR_INTERVAL",
            "RETENTION",
            "a quiet page's cursor is too old to resume by before it gets a fresh one",
        ),
        ("POLL_BUSY", "POLL_REST", "news are looked for less often when there are some"),
    ):
        if getattr(settings, less) > getattr(settings, more):
            found.append(
                Warning(
                    f"DATABINDING[{less!r}] is greater than DATABINDING[{more!r}]: {so}.",
                    hint=f"Set {less} below {more}.",
                    id="databinding.W007",
                )
            )
    return found


@register()
def check_sessions(**kwargs: Any) -> list[CheckMessage]:
    if django_settings.SESSION_ENGINE != "django.contrib.sessions.backends.signed_cookies":
        return []
    return [
        Warning(
            "Sessions in signed cookies can't be ended: a logout closes no other connection.",
            hint="Set SESSION_ENGINE to another one, such as "
            "'django.contrib.sessions.backends.cached_db'.",
            id="databinding.W020",
        )
    ]


@register()
def check_bindings(**kwargs: Any) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    for binding in registry:
        try:
            binding.field_names()
        except FieldDoesNotExist as error:
            errors.append(
                Error(
                    str(error),
                    hint="Fields of a binding are the model's own, by name.",
                    obj=binding,
                    id="databinding.E002",
                )
            )
        every: Any = binding.refresh_every
        if every is not None and not _is_number_above_0(every):
            errors.append(
                Error(
                    f"{binding.__qualname__}.refresh_every can't be {every!r}.",
                    hint="It is a number of seconds greater than 0, or None.",
                    obj=binding,
                    id="databinding.E010",
                )
            )
        errors += _check_watch(binding)
        if not _has(binding, "group_names"):
            errors.append(
                Error(
                    f"{binding.__qualname__} has no group_names(): nobody sees its rows.",
                    hint="Let it return the names of the groups that see a row.",
                    obj=binding,
                    id="databinding.E009",
                )
            )
        elif binding.order_by:
            errors += _check_window(binding)
        if settings.CAPTURE == "signals" and binding.refresh_every is None:
            errors.append(_check_unseen(binding))
        errors += (
            Warning(
                f"{binding.__qualname__}.{name}() is never called: Channels 1 did that.",
                hint="What it did belongs into a serializer_class, or into the model's save().",
                obj=binding,
                id="databinding.W009",
            )
            for name in UNCALLED
            if hasattr(binding, name)
        )
    return errors


def _check_watch(binding: type[Binding]) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    hint = "Name relations as in filter(), a column at their end at most, or a model."
    for entry in binding.watch:
        try:
            found = watches_by(binding, entry)
        except Unwatchable as error:
            said = str(error)
        else:
            strayed = {watch.model for watch in found}
            strayed = {one for one in strayed if router.db_for_write(one) != binding.alias()}
            if not strayed:
                continue
            names = ", ".join(sorted(model.__name__ for model in strayed))
            said = f"{names} isn't on {binding.alias()!r}, where {binding.model.__name__} is."
        message = f"{binding.__qualname__}.watch: {said}"
        errors.append(Error(message, hint=hint, obj=binding, id="databinding.E011"))
    return errors


def _check_unseen(binding: type[Binding]) -> CheckMessage:
    # What is added to a many-to-many field, and removed, has a signal of its own.
    models = dict.fromkeys(
        watch.model for watch in watches_of(binding) if not watch.model._meta.auto_created
    )
    plain = [model.__name__ for model in models if not _journals(model)]
    also = f"update(), bulk_create() and bulk_update() of {', '.join(plain)}, " if plain else ""
    return Warning(
        f"{binding.__qualname__} doesn't see {also}raw SQL and other programs: CAPTURE is "
        "'signals'.",
        hint="Give it refresh_every, so that what goes unseen heals"
        + (", and these models a JournalingManager." if plain else "."),
        obj=binding,
        id="databinding.W010",
    )


def _journals(model: type[Model]) -> bool:
    managers = (model._default_manager, model._base_manager)
    return all(isinstance(one.get_queryset(), JournalingQuerySet) for one in managers)


def _check_window(binding: type[Binding]) -> list[CheckMessage]:
    try:
        binding.model._default_manager.order_by(*binding.total_order())
    except FieldError as error:
        said = f"{binding.__qualname__}.order_by: {error}"
        hint = "Name fields of the model, with - for falling."
    else:
        if binding.constant_groups() is not None or _has(binding, "rows"):
            return []
        said = f"{binding.__qualname__} has order_by, and groups that depend on the row."
        hint = "Give it rows(group), the queryset of the rows that a group sees."
    return [Error(said, hint=hint, obj=binding, id="databinding.E008")]


@register()
def check_lists(**kwargs: Any) -> list[CheckMessage]:
    """What `databinding.rest` filters, searches and orders by."""
    found: list[CheckMessage] = []
    for binding in registry:
        tries: list[tuple[str, Callable[[], object]]] = [
            ("ordering_fields", partial(Order, binding.model, binding.ordering_fields)),
            ("search_fields", partial(_search, binding)),
        ]
        if binding.filterset_fields or binding.filterset_class is not None:
            if find_spec("django_filters") is None or not apps.is_installed("django_filters"):
                found.append(
                    Error(
                        f"{binding.__qualname__} has filters, and django-filter isn't there.",
                        hint="Install django-databinding[rest], and add 'django_filters' to "
                        "INSTALLED_APPS.",
                        obj=binding,
                        id="databinding.E014",
                    )
                )
            else:
                tries.append(("filterset_fields", partial(_filter, binding)))
        for name, attempt in tries:
            try:
                attempt()
            except (FieldError, TypeError) as error:
                found.append(
                    Error(
                        f"{binding.__qualname__}.{name}: {error}",
                        hint="Name fields of the model, or those of others by way of relations.",
                        obj=binding,
                        id="databinding.E013",
                    )
                )
    return found


def _search(binding: type[Binding]) -> None:
    names = [name.lstrip("^=@$") for name in binding.search_fields]
    for name in names:
        binding.model._default_manager.filter((f"{name}__icontains", ""))


def _filter(binding: type[Binding]) -> None:
    from django_filters.filterset import filterset_factory

    if binding.filterset_class is None:
        filterset_factory(binding.model, fields=binding.filterset_fields)


def _has(binding: type[Binding], name: str) -> bool:
    """Does it override this, as a classmethod or otherwise?"""
    found = getattr(binding, name)
    return getattr(found, "__func__", found) is not getattr(Binding, name).__func__


@register()
def check_permissions(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{binding.__qualname__}.permission_classes has {wanted!r}, which isn't a permission "
            "class of Django REST framework's.",
            hint="They have has_permission(request, view); those of djangochannelsrestframework "
            "belong to the binding's consumer.",
            obj=binding,
            id="databinding.E020",
        )
        for binding in registry
        for wanted in binding.permission_classes
        if not isinstance(_made(wanted), (BasePermission, AND, OR, NOT))
    ]


@register()
def check_authentication(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for path in settings.AUTHENTICATION:
        try:
            usable = isinstance(_made(import_string(path)), BaseAuthentication)
        except (ImportError, AttributeError):
            usable = False
        if not usable:
            found.append(
                Error(
                    f"DATABINDING['AUTHENTICATION'] has {path!r}, which isn't an authentication "
                    "class of Django REST framework's.",
                    hint="Name classes by their dotted paths, as "
                    "'rest_framework.authentication.TokenAuthentication'.",
                    id="databinding.E021",
                )
            )
    return found


def _made(wanted: Any) -> Any:
    try:
        return wanted()
    except TypeError:
        return None


@register()
def check_databases(**kwargs: Any) -> list[CheckMessage]:
    """What the settings tell of the databases, without asking them."""
    found: list[CheckMessage] = []
    for alias in aliases():
        connection = connections[alias]
        if connection.vendor not in journal.VENDORS:
            found.append(
                Error(
                    f"Bound models are on {alias!r}, a {connection.vendor} database.",
                    hint=f"There are journals for: {', '.join(journal.VENDORS)}.",
                    id="databinding.E003",
                )
            )
            continue
        if not router.allow_migrate_model(alias, JournalEntry):
            found.append(
                Error(
                    f"Bound models are on {alias!r}, but the routers allow no journal there.",
                    hint="Have allow_migrate() of DATABASE_ROUTERS let the app 'databinding' onto "
                    "every database with bound models.",
                    id="databinding.E006",
                )
            )
        if connection.vendor == "sqlite":
            found += _check_sqlite(alias)
        else:
            found += _check_pool(alias)
    return found


def _check_pool(alias: str) -> list[CheckMessage]:
    pool = connections[alias].settings_dict["OPTIONS"].get("pool")
    options = pool if isinstance(pool, dict) else {}
    # Without max_size a pool of psycopg doesn't grow beyond min_size, which is 4 by default.
    size = options.get("max_size") or options.get("min_size", 4)
    if not pool or size > 1:
        return []
    return [
        Warning(
            f"The pool of {alias!r} holds one connection, which the relay keeps while anybody is "
            "subscribed: requests wait in vain.",
            hint="Give OPTIONS['pool'] a max_size of 2 at least.",
            id="databinding.W008",
        )
    ]


@register()
def check_doorbell(**kwargs: Any) -> list[CheckMessage]:
    """What the settings tell of the channel layer, without asking it."""
    layers = getattr(django_settings, "CHANNEL_LAYERS", None) or {}
    name = settings.DOORBELL
    if name is not None and name not in layers and "DOORBELL" in configured():
        return [
            Error(
                f"DATABINDING['DOORBELL'] names the channel layer {name!r}, which isn't there.",
                hint=f"CHANNEL_LAYERS has: {', '.join(layers) or 'none'}. None: no layer is used.",
                id="databinding.E005",
            )
        ]
    # SQLite tells by itself, and at once, that another process has written its file.
    postgresql = [alias for alias in aliases() if connections[alias].vendor == "postgresql"]
    if not postgresql or name is None or channel_layer.configured():
        return []
    return [
        Warning(
            f"No channel layer carries the doorbell of {', '.join(map(repr, postgresql))} between "
            f"processes: each finds another's commits up to {settings.POLL_POSTGRESQL:g} s later.",
            hint="Give CHANNEL_LAYERS a layer of channels-redis, or, where that delay is meant, "
            "set DATABINDING['DOORBELL'] = None.",
            id="databinding.W005",
        )
    ]


#: Routers may choose among replicas at random.
_TRIES = 20


@register()
def check_reads(**kwargs: Any) -> list[CheckMessage]:
    """Asks the routers, as if the library were at work."""
    models = {binding.model for binding in registry}
    related = {field.related_model for model in models for field in model._meta.get_fields()}
    strayed: dict[str, set[str]] = {}
    with consistent_reads():
        for model in models | {model for model in related if isinstance(model, type)}:
            read = {router.db_for_read(model) for _ in range(_TRIES)}
            for alias in read - {router.db_for_write(model)}:
                strayed.setdefault(alias, set()).add(model.__name__)
    return [
        Warning(
            f"What bindings read of {', '.join(sorted(names))} by themselves comes from "
            f"{alias!r}, which isn't where it is written.",
            hint="Put 'databinding.routers.ConsistentReads' first into DATABASE_ROUTERS.",
            id="databinding.W006",
        )
        for alias, names in sorted(strayed.items())
    ]


def _check_sqlite(alias: str) -> list[CheckMessage]:
    connection = connections[alias]
    options = connection.settings_dict["OPTIONS"]
    found: list[CheckMessage] = []
    if connection.is_in_memory_db():  # type: ignore[attr-defined]
        found.append(
            Error(
                f"The database {alias!r} is in memory, where no other thread sees its changes.",
                hint="Give it a file; for tests: 'TEST': {'NAME': …}.",
                id="databinding.E004",
            )
        )
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        found.append(
            Warning(
                f"Transactions on {alias!r} don't take the write lock at once: of two that read "
                "and then write, one fails with 'database is locked'.",
                hint="Set OPTIONS['transaction_mode'] = 'IMMEDIATE'.",
                id="databinding.W001",
            )
        )
    if "journal_mode=wal" not in str(options.get("init_command", "")).lower().replace(" ", ""):
        found.append(
            Warning(
                f"Nothing sets a write-ahead log on {alias!r}: readers and writers wait for each "
                "other.",
                hint="Set OPTIONS['init_command'] = 'PRAGMA journal_mode=WAL;'.",
                id="databinding.W002",
            )
        )
    return found


@register(Tags.database)
def check_triggers(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Asks the databases: part of ``check --database`` and of ``migrate``."""
    errors: list[CheckMessage] = []
    for alias in databases or ():
        if alias not in aliases() or not triggers.supported(connections[alias]):
            continue
        if not journal.exists(alias):
            continue  # Not migrated yet; migrate installs them.
        try:
            found = triggers.drift(alias)
        except FieldDoesNotExist:
            continue  # databinding.E002
        errors += _check_views(alias)
        if found:
            named = "; ".join(
                f"{kind}: {', '.join(names)}" for kind, names in found._asdict().items() if names
            )
            errors.append(
                Warning(
                    f"Triggers on {alias!r} aren't in step with the bindings ({named}).",
                    hint=f"Run manage.py migrate --database {alias}.",
                    id="databinding.W003",
                )
            )
            errors += _check_rights(alias, found)
    return errors


def _check_views(alias: str) -> list[CheckMessage]:
    """A view may be bound, if the tables that it shows are watched."""
    labels = triggers.without_triggers(alias) if settings.CAPTURE == "triggers" else set()
    return [
        Error(
            f"{binding.__qualname__}: {binding.model._meta.db_table} isn't a table, so no trigger "
            "tells of its changes.",
            hint="Name the models of the tables that it shows in watch.",
            obj=binding,
            id="databinding.E012",
        )
        for binding in bindings_of(alias)
        if binding.concrete_label() in labels and not binding.watch
    ]


def _check_rights(alias: str, found: triggers.Drift) -> list[CheckMessage]:
    tables = triggers.refused(alias) if found.missing or found.differing else []
    if not tables:
        return []
    return [
        Error(
            f"This role may not make the triggers of {', '.join(tables)} on {alias!r}.",
            hint="Run migrate as the owner of these tables, or set "
            "DATABINDING['CAPTURE'] = 'signals'.",
            id="databinding.E007",
        )
    ]


@register(Tags.database)
def check_groups(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Asks the databases: how many rows would have to be asked for their groups."""
    found: list[CheckMessage] = []
    for binding in registry:
        if binding.alias() not in (databases or ()) or not journal.exists(binding.alias()):
            continue
        if not _has(binding, "group_names"):
            continue  # databinding.E009
        asks_each = binding.constant_groups() is None and not _has(binding, "rows")
        if asks_each and _has_many_rows(binding):
            found.append(
                Warning(
                    f"{binding.__qualname__} has more than {MANY_ROWS} rows, and each is asked for "
                    "its groups whenever a group is loaded.",
                    hint="Give it rows(group), the queryset of the rows that a group sees.",
                    obj=binding,
                    id="databinding.W004",
                )
            )
    return found


def _has_many_rows(binding: type[Binding]) -> bool:
    with connections[binding.alias()].cursor() as cursor:
        tables = connections[binding.alias()].introspection.table_names(cursor)
    if binding.model._meta.db_table not in tables:
        return False
    rows = binding.model._default_manager.using(binding.alias())
    rows = rows.order_by().values_list("pk", flat=True)
    return len(rows[MANY_ROWS : MANY_ROWS + 1]) > 0
