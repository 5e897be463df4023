"""`LiveAdminMixin`: what it adds to a `ModelAdmin`, in the admin's own templates.

Change list: rows are kept as a reload would show them, `live_view` renders those that changed.
Change form and `list_editable`: saving never overwrites somebody's newer version without asking
(`databinding.admin.merging`), whether the page has JavaScript or not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.core.checks import CheckMessage
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, router, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from databinding.admin import checks
from databinding.admin.deletion import deleted_objects
from databinding.admin.listing import Fixed, legible_list
from databinding.admin.merging import BASE, BaseField, merging, merging_formset
from databinding.admin.showing import can_be_shown, give_name
from databinding.legible import UNREADABLE, Unreadable, legible, rest_of, row_of, unread_with
from databinding.locks import lock_rows

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    _Base = ModelAdmin[Any]
else:
    _Base = object

logger = logging.getLogger("databinding")

#: Rows that one request may ask for.
MOST = 2_000
#: Rows that a message names.
_MOST_NAMED = 10
_LEFT_OUT = "These rows hold what can't be read, and are left out here: %s."


class _Partial(NamedTuple):
    """What a view needs that does with what can be read of its row."""

    #: Who may see the view; asked before anything is put in the place of what can't be read.
    permitted: Callable[[HttpRequest, Any], bool]
    #: The row, if not all of it can be read.
    spoilt: list[Any]


_partial: ContextVar[_Partial | None] = ContextVar("partial", default=None)


class LiveAdminMixin(_Base):
    """Put before `ModelAdmin`; its model must have a binding, which captures its changes.

    @admin.register(IntegerValue)
    class IntegerValueAdmin(LiveAdminMixin, admin.ModelAdmin):
        list_display = ["name", "value"]
    """

    #: Where the websocket is; None: ``live/`` below the index of the admin.
    live_url: str | None = None
    #: Where `get_queryset` hides rows, pages aren't told the primary keys of those, for which the
    #: keys of all others are held in memory. False: they may be told, as is wise for huge tables.
    live_hides_keys: bool = True

    # Pages

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(
            css={"all": ["databinding/admin/live.css"]},
            js=[_Module("databinding/admin/live.js")],  # type: ignore[list-item]
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        if request.method == "POST" and "_save" in request.POST:
            # The rows are read, locked and saved in one transaction.
            with transaction.atomic(using=router.db_for_write(self.model)):
                response = super().changelist_view(request, extra_context)
        else:
            response = super().changelist_view(request, extra_context)
        return self._with_list(request, response)

    def _with_list(self, request: HttpRequest, response: Any) -> Any:
        context = getattr(response, "context_data", None)
        cl = context.get("cl") if context else None
        if context is None or cl is None or "media" not in context:
            return response
        if left_out := getattr(cl, "left_out", ()):
            self.message_user(request, self._without(request, left_out), messages.WARNING)
        bound = cl.formset is not None and cl.formset.is_bound
        if bound:
            # What is asked about stands beside its row, wherever that would be listed by now.
            cl.result_list = [form.instance for form in cl.formset.forms]
        said = {"pks": [str(row.pk) for row in cl.result_list], "bound": bound}
        context["media"] += self._page(request, "list", said)
        return response

    def _without(self, request: HttpRequest, keys: Sequence[Any]) -> str:
        """Which rows the list is without, and how those are deleted."""
        if not self.has_delete_permission(request):
            return _left_out(keys)
        text, (some, more) = _(_LEFT_OUT), _some(keys)
        name, site = self._live_name("delete"), self.admin_site.name
        links = [
            format_html(
                '<a href="{}">{}</a>', reverse(name, args=[quote(key)], current_app=site), key
            )
            for key in some
        ]
        told = format_html(escape(text).replace("%s", "{}"), mark_safe(", ".join(links + more)))
        return format_html("{} {}", told, _("Follow one to delete it."))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        form, instance = context["adminform"].form, context.get("original")
        if instance is not None and context.get("object_id") is not None:
            if self.has_change_permission(request, instance):
                _put_base(context["adminform"], form)
            for inline in context.get("inline_admin_formsets", ()):
                if keys := getattr(inline.formset, "live_left_out", ()):
                    name = inline.opts.opts.verbose_name_plural
                    self.message_user(request, f"{name}: {_left_out(keys)}", messages.WARNING)
            said = {"pk": str(instance.pk), "bound": form.is_bound}
            context["media"] = context["media"] + self._page(request, "form", said)
        return super().render_change_form(request, context, *args, **kwargs)

    def _page(self, request: HttpRequest, kind: str, said: dict[str, Any]) -> forms.Media:
        """What the page's script has to know."""
        site = self.admin_site.name
        live = reverse(self._live_name(), current_app=site)
        index = reverse("admin:index", current_app=site)
        user: Any = request.user
        said = {
            "kind": kind,
            "stream": self.live_stream(),
            "socket": self.live_url or f"{index}live/",
            "rows": live,
            "gone": f"{live}gone/",
            "list": reverse(self._live_name("changelist"), current_app=site),
            "user": user.get_short_name() or user.get_username(),
            **said,
        }
        return forms.Media(js=[_Data(said)])  # type: ignore[list-item]

    def _live_name(self, view: str = "live") -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"

    def live_stream(self) -> str:
        """The name of this admin's stream."""
        return f"{self.admin_site.name}:{self.opts.label_lower}"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return legible_list(super().get_changelist(request, **kwargs))

    # Pages of one row

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._or_back(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Also of a row that can't be read, unless somebody asks for what it holds there."""
        partial = _Partial(self.has_delete_permission, [])
        view = super().delete_view

        def delete(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except UNREADABLE:
                if partial.spoilt or not self._tell_of_unread(*args, **kwargs):
                    raise
                return HttpResponseRedirect(self._list_address())

        return self._partly(partial, delete, request, *args, **kwargs)

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As `delete_view`."""
        partial = _Partial(self.has_view_or_change_permission, [])
        return self._partly(partial, super().history_view, request, *args, **kwargs)

    def _partly(
        self,
        partial: _Partial,
        view: Callable[..., Any],
        request: HttpRequest,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        def seen(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except UNREADABLE as error:
                if partial.spoilt:
                    raise Unreadable from error
                raise

        before = _partial.set(partial)
        try:
            return self._or_back(seen, request, *args, **kwargs)
        finally:
            _partial.reset(before)

    def _tell_of_unread(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> bool:
        """Is it rows that would go with this one that can't be read? Then it is said which."""
        instance = self.get_object(request, unquote(object_id))
        found = [] if instance is None else unread_with(instance)
        text = _("It can't be deleted, as it would take rows with it that can't be read: %s.")
        for called, keys in found:
            some, more = _some(keys)
            told = text % f"{called} {', '.join(some + more)}"
            self.message_user(request, told, messages.ERROR)
        return bool(found)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        partial = _partial.get()
        if partial is not None and partial.spoilt:
            return deleted_objects(objs, request, self.admin_site)
        return super().get_deleted_objects(objs, request)

    def response_action(self, request: HttpRequest, queryset: Any, *more: Any, **said: Any) -> Any:
        try:
            return super().response_action(request, queryset, *more, **said)
        except UNREADABLE:
            keys = list(queryset.values_list("pk", flat=True))
            if len(legible(queryset, keys)) == len(keys):
                raise
            logger.warning("An action met rows that can't be read.", exc_info=True)
        text = _("The action broke off: some of these rows hold what can't be read.")
        self.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())

    def _or_back(
        self, view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Any:
        """What a view of one row answers; to the list, where that can't be read."""
        with suppress(Unreadable):
            return view(request, *args, **kwargs)
        text = _("The database holds something in this row that can't be read.")
        self.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(self._list_address())

    def _list_address(self) -> str:
        return reverse(self._live_name("changelist"), current_app=self.admin_site.name)

    # Rows, as the change list shows them to this user

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_live"
        ours = [
            path("live/", self.admin_site.admin_view(self.live_view), name=name),
            path("live/gone/", self.admin_site.admin_view(self.gone_view), name=f"{name}_gone"),
        ]
        return [*ours, *super().get_urls()]

    @method_decorator([require_POST, csrf_protect])
    def live_view(self, request: HttpRequest) -> HttpResponseBase:
        """The rows with the primary keys that are asked for, of the list that the query names.

        Its query string is the change list's own. It writes nothing; the keys are too many for
        an address.
        """
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        try:
            asked = [str(pk) for pk in json.loads(request.body)["pks"]][:MOST]
            validate = self.opts.pk.to_python
            pks = [validate(pk) for pk in asked]
            cl = self.get_changelist_instance(request)
        except (ValueError, KeyError, TypeError, ValidationError, IncorrectLookupParameters):
            return JsonResponse({"error": "This isn't a list of rows."}, status=400)
        page = [str(row.pk) for row in cl.result_list]
        found = legible(cl.queryset, pks)
        cl.result_list = Fixed([row for row in found if can_be_shown(row, cl.list_display)])
        there = {str(row.pk) for row in cl.result_list}
        gone = [pk for pk in asked if pk not in there]
        others = self.get_queryset(request).filter(pk__in=gone).values_list("pk", flat=True)
        tokens: dict[str, str] = {}
        cl.formset = None
        if cl.list_editable and self.has_change_permission(request):
            formset = self.get_changelist_formset(request)(queryset=Fixed(cl.result_list))
            cl.formset, tokens = formset, formset.live_tokens()
        said = {
            "html": _render_rows(cl),
            "pks": [str(row.pk) for row in cl.result_list],
            "tokens": tokens,
            # Those that are there but not in the list; the rest of what is missing is deleted.
            "left": [str(pk) for pk in others],
            "page": page,
            "count": cl.result_count,
        }
        response = JsonResponse(said)
        response["Cache-Control"] = "no-store"
        return response

    @method_decorator([require_POST, csrf_protect])
    def gone_view(self, request: HttpRequest) -> HttpResponseBase:
        """A page of this user is left."""
        from databinding.admin.models import Presence

        try:
            user: Any = request.user
            key = request.POST.get("key", "")
            Presence.objects.filter(user=user, key=key).delete()
        except ValidationError:
            return HttpResponse(status=400)
        return HttpResponse(status=204)

    # Saving

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Raises `Unreadable`, too."""
        try:
            found = super().get_object(request, object_id, from_field)
        except UNREADABLE:
            if from_field is not None:
                raise
            found = None
        if found is None and from_field is None:
            # Django takes some of those that can't be read for none.
            key = None
            with suppress(ValidationError, ValueError):
                key = self.opts.pk.to_python(object_id)
            found = None if key is None else self._row(request, key)
        alias = router.db_for_write(self.model)
        partial = _partial.get()
        if found is not None and partial is not None:
            give_name(found)
        if found is None or request.method != "POST" or not connections[alias].in_atomic_block:
            return found
        # Read anew once it is locked: what the form is compared with is what it would overwrite.
        lock_rows(self.model, [found.pk], alias)
        if partial is not None and partial.spoilt:
            return self._row(request, found.pk)
        found = super().get_object(request, object_id, from_field)
        if found is not None and partial is not None:
            give_name(found)
        return found

    def _row(self, request: HttpRequest, key: Any) -> Any:
        """The row with this primary key; where that does, what can be read of it.

        Raises `Unreadable`.
        """
        rows = self.get_queryset(request)
        try:
            return row_of(rows, key)
        except Unreadable:
            partial = _partial.get()
            rest = None if partial is None else rest_of(rows, key)
            if partial is None or rest is None:
                raise
        partial.spoilt.append(rest)
        # Who may is told what it is called, as far as that can be told.
        if partial.permitted(request, rest):
            give_name(rest)
        return rest

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None and change and not can_be_shown(obj, kwargs.get("fields") or ()):
            raise Unreadable
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None or not change:
            return form
        return merging(form, request.POST.get(BASE))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        merge = getattr(form, "merge", None)
        if merge is not None and merge.kept and form.prefix is None:
            text = _("Kept as others have changed it meanwhile: %s.") % merge.kept_labels()
            self.message_user(request, text, messages.INFO)

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        return merging_formset(super().get_changelist_formset(request, **kwargs), labels=True)

    def get_formsets_with_inlines(self, request: HttpRequest, obj: Any = None) -> Iterator[Any]:
        for formset, inline in super().get_formsets_with_inlines(request, obj):
            yield merging_formset(formset), inline

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [*super().check(**kwargs), *checks.check_live_admin(self)]


def _some(keys: Sequence[Any]) -> tuple[list[str], list[str]]:
    """As many of them as one likes to read, and whether there are more."""
    return [str(key) for key in keys[:_MOST_NAMED]], ["…"] if len(keys) > _MOST_NAMED else []


def _left_out(keys: Sequence[Any]) -> str:
    some, more = _some(keys)
    return _(_LEFT_OUT) % ", ".join(some + more)


def _put_base(adminform: Any, form: Any) -> None:
    """A hidden field with the form's base, in a fieldset of its own: every template shows those."""
    form.fields[BASE] = BaseField(form)
    hidden = (None, {"fields": [BASE], "classes": ["hidden"]})
    adminform.fieldsets = [*adminform.fieldsets, hidden]


def _render_rows(cl: ChangeList) -> str:
    """The table of a change list's rows, in whatever template the project has for it."""
    from django.contrib.admin.templatetags.admin_list import result_list

    app, model = cl.opts.app_label, cl.opts.model_name
    name = "change_list_results.html"
    templates = [f"admin/{app}/{model}/{name}", f"admin/{app}/{name}", f"admin/{name}"]
    return render_to_string(templates, result_list(cl))


class _Module:
    """A script of the library, as a module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __html__(self) -> SafeString:
        from django.templatetags.static import static

        return format_html('<script type="module" src="{}"></script>', static(self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Module) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


#: What Django's `json_script` escapes, so that no value can end the element.
_ESCAPES = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


class _Data:
    """JSON in the page, for its script."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.text = json.dumps(said).translate(_ESCAPES)

    def __html__(self) -> SafeString:
        text = mark_safe(self.text)
        return format_html('<script type="application/json" id="live-admin">{}</script>', text)
