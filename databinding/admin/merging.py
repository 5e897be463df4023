"""Forms that never overwrite what somebody else has saved meanwhile without asking.

A form is served with a *base*: what its fields held then, signed. When it comes back, the row is
locked and each field is one of these:

* as it was in the base: what the form says goes;
* changed by others and not by this form: theirs is kept, whatever old value the form carries;
* changed by both to the same: nothing to ask;
* changed by both: a *conflict*. Nothing is saved; the form comes back with the question, field by
  field, as an error of the field with base, theirs and yours, and a choice. The form then carries
  the row as it is now as its base, so that a further change by others is asked about, too.

The question is part of Django's own error list, so it stands in whatever template shows a form's
errors, and needs no JavaScript.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django import forms
from django.contrib.admin.utils import display_for_field
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models, router
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from databinding.admin.listing import Fixed
from databinding.legible import left_out, legible_page
from databinding.locks import lock_rows

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
    _FormSet = forms.BaseModelFormSet[Any, Any]
else:
    _ModelForm, _FormSet = forms.ModelForm, forms.BaseModelFormSet

#: The hidden field with the base, on its own in a form, by primary key in a formset.
BASE = "live-base"
#: What is added to a field's name for the choice about it.
CHOICE = "live-choice"
THEIRS, YOURS = "theirs", "yours"
#: Characters of a value that are shown in a question.
SHOWN = 1_000
EMPTY = gettext_lazy("(empty)")

#: A field's value as JSON has it: a text, null, or a list of primary keys.
Plain = Any


class Base(NamedTuple):
    """What a form's fields held when it was served."""

    fields: Mapping[str, Plain]
    #: Fields about which it asked: in a list what they had held before, if that was known.
    asked: Mapping[str, list[Plain]]
    #: When it was served.
    at: datetime | None

    def sign(self, instance: models.Model) -> str:
        at = self.at.timestamp() if self.at else None
        said = {"fields": self.fields, "asked": self.asked, "at": at}
        return signing.dumps(said, salt=_salt(instance), compress=True)

    @classmethod
    def read(cls, token: str | None, instance: models.Model) -> Base:
        """Of none, or one that isn't ours and of this row: nothing is known then."""
        try:
            said = signing.loads(token or "", salt=_salt(instance))
            at = datetime.fromtimestamp(said["at"], timezone.get_current_timezone())
            return cls(said["fields"], said["asked"], at)
        except (signing.BadSignature, KeyError, TypeError):
            return cls({}, {}, None)


def _salt(instance: models.Model) -> str:
    return f"databinding.admin.base:{instance._meta.label_lower}:{instance.pk}"


class MergingForm(_ModelForm):
    """Mixed into a model's form; `live_token` is the base that came back with its data."""

    live_token: ClassVar[str | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound and not self.instance._state.adding:
            self.merge_from(self.live_token)

    @cached_property
    def merge(self) -> Merge | None:
        """Of a form that came back for a row that is there."""
        return None

    def merge_from(self, token: str | None) -> None:
        """Compare with the row as it is now, before anything is cleaned."""
        self.__dict__["merge"] = Merge(self, Base.read(token, self.instance))

    @cached_property
    def changed_data(self) -> list[str]:
        names: list[str] = super().changed_data
        return names if self.merge is None else [n for n in names if n not in self.merge.kept]

    def clean(self) -> Any:
        if self.merge is not None:
            self.merge.clean()
        return super().clean()

    def token(self) -> str:
        """The base to be served with this form."""
        base = self.merge.next if self.merge else Base(plain_fields(self), {}, timezone.now())
        return base.sign(self.instance)


class Merge:
    """What has become of one form's fields: those `kept` as others have them, and conflicts."""

    def __init__(self, form: MergingForm, base: Base) -> None:
        self.form = form
        self.base = base
        self.now = plain_fields(form)
        self.kept: set[str] = set()
        #: Names of fields to be asked about, each with what it held before, as in `Base.asked`.
        self.conflicts: dict[str, list[Plain]] = {}
        self._theirs: dict[str, Any] = {}
        for name, field in model_fields(form).items():
            self._compare(name, field)
        self.next = Base(self.now, self.conflicts, timezone.now())

    def _compare(self, name: str, field: models.Field[Any, Any]) -> None:
        base, asked, now = self.base.fields, self.base.asked, self.now[name]
        changed = name not in base or base[name] != now
        if not changed and name not in asked:
            return
        theirs = initial_of(field, now)
        choice = self.form.data.get(choice_name(self.form, name)) if name in asked else None
        if not self._differs(name, theirs):
            return
        if choice == THEIRS or (
            name in base and name not in asked and not self._said(name, field, base[name])
        ):
            self.kept.add(name)
            self._theirs[name] = value_of(field, self.form.instance)
            # What is shown, should the form come back.
            self.form.fields[name].bound_data = partial(_shown_instead, theirs)  # type: ignore[method-assign]
        elif choice != YOURS or changed:
            before = [base[name]] if name in base else []
            self.conflicts[name] = asked.get(name, before)

    def _said(self, name: str, field: models.Field[Any, Any], base: Plain) -> bool:
        """Has this form's user changed what was there?"""
        try:
            return self._differs(name, initial_of(field, base))
        except (ValidationError, ValueError, TypeError):
            return True  # The field was another one then.

    def _differs(self, name: str, initial: Any) -> bool:
        field = self.form.fields[name]
        if isinstance(initial, (datetime, time)) and not field.widget.supports_microseconds:
            initial = initial.replace(microsecond=0)
        return field.has_changed(initial, self.form[name].data)

    def clean(self) -> None:
        """Put in what is kept, and ask about what must be asked."""
        for name, value in self._theirs.items():
            self.form.errors.pop(name, None)  # What was wrong with it won't be saved.
            self.form.cleaned_data[name] = value
        if self.conflicts:
            self.form.add_error(None, ValidationError(self._summary(), code="conflict"))
        for name, before in self.conflicts.items():
            question = self._question(name, before)
            self.form.add_error(name, ValidationError(question, code="conflict"))

    def _summary(self) -> str:
        who = saved_since(self.form.instance, self.base.at)
        if who:
            text = _("Nothing is saved yet: %(who)s saved this while you were editing.")
            said = text % {"who": who}
        else:
            said = _("Nothing is saved yet: this was changed while you were editing.")
        said = f"{said} {_('Choose below what is to be saved; your other edits are kept.')}"
        if self.kept:
            said = f"{said} {_('Shown as others have changed it: %s.') % self.kept_labels()}"
        return said

    def kept_labels(self) -> str:
        return ", ".join(
            str(self.form[name].label) for name in self.form.fields if name in self.kept
        )

    def _question(self, name: str, before: list[Plain]) -> SafeString:
        form, field = self.form, model_fields(self.form)[name]
        if name in form.cleaned_data:
            yours = shown(field, form.cleaned_data[name])
        else:
            yours = _cut(str(form[name].data or "")) or str(EMPTY)
        return format_html(
            '<fieldset class="live-conflict" id="{id}"><legend>{legend}</legend>'
            '<p class="live-before"><span class="live-which">{before_word}</span> '
            '<span class="live-value">{before}</span></p>'
            '<label><input type="radio" name="{choice}" value="theirs"> '
            '<span class="live-which">{theirs_word}</span> '
            '<span class="live-value">{theirs}</span></label>'
            '<label><input type="radio" name="{choice}" value="yours"> '
            '<span class="live-which">{yours_word}</span> '
            '<span class="live-value">{yours}</span></label></fieldset>',
            id=f"{form[name].auto_id}-{CHOICE}",
            legend=_("%(field)s: changed by others, too") % {"field": form[name].label},
            choice=choice_name(form, name),
            before_word=_("Before"),
            before=shown_plain(field, before[0]) if before else _("(not known)"),
            theirs_word=_("Keep theirs"),
            theirs=shown_plain(field, self.now[name]),
            yours_word=_("Use yours"),
            yours=yours,
        )


def _shown_instead(value: Any, data: Any, initial: Any) -> Any:
    """For a field's `bound_data`: what is shown of it, whatever came back."""
    return value


class MergingFormSet(_FormSet):
    """Mixed into the formsets of a change list and of inlines; their forms are `MergingForm`s.

    The bases of all rows stand beside the management form's numbers, which every template shows.
    """

    #: Have each control say of which row it is: in a change list no label does.
    live_labels: ClassVar[bool] = False
    #: The keys of those rows that can't be read: there is no form for them.
    live_left_out: Sequence[Any] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = self.get_queryset()
        if self.is_bound:
            lock_rows(rows.model, rows.values("pk"), router.db_for_write(rows.model))
        if isinstance(rows, models.QuerySet):
            found, keys = legible_page(rows, rows)
            if keys:
                self.live_left_out = left_out(found, keys)
                self._queryset = Fixed(found)

    @cached_property
    def management_form(self) -> Any:
        form = super().management_form
        form.fields[BASE] = _BasesField(self)
        return form

    @cached_property
    def _live_bases(self) -> Mapping[str, Any]:
        try:
            said = json.loads(self.data.get(f"{self.prefix}-{BASE}") or "{}")
        except ValueError:
            said = {}
        return said if isinstance(said, dict) else {}

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        if self.live_labels:
            for field in form.fields.values():
                said = f"{field.label}: {form.instance}"
                field.widget.attrs.setdefault("aria-label", said)
        if form.merge is not None:
            token = self._live_bases.get(str(form.instance.pk))
            form.merge_from(token if isinstance(token, str) else None)
        return form

    def live_tokens(self) -> dict[str, str]:
        """The base of each row, by primary key."""
        forms = (form for form in self.forms if not form.instance._state.adding)
        return {str(form.instance.pk): form.token() for form in forms}


class _BasesField(forms.CharField):
    widget = forms.HiddenInput

    def __init__(self, formset: MergingFormSet) -> None:
        super().__init__(required=False)
        self._formset = formset

    def prepare_value(self, value: Any) -> str:
        return json.dumps(self._formset.live_tokens())


class BaseField(forms.CharField):
    """The hidden field of one form's base; what came back stands in the request."""

    widget = forms.HiddenInput

    def __init__(self, form: MergingForm) -> None:
        super().__init__(required=False)
        self._form = form

    def prepare_value(self, value: Any) -> str:
        return self._form.token()


def merging(form: type[forms.ModelForm[Any]], token: str | None = None) -> type[MergingForm]:
    """A model's form with `MergingForm` mixed in."""
    if issubclass(form, MergingForm):
        return form
    metaclass: Any = type(form)
    mixed: type[MergingForm] = metaclass(form.__name__, (MergingForm, form), {"live_token": token})
    return mixed


def merging_formset(formset: Any, *, labels: bool = False) -> Any:
    """A model's formset with `MergingFormSet` and merging forms."""
    if issubclass(formset, MergingFormSet):
        return formset
    attributes = {"form": merging(formset.form), "live_labels": labels}
    return type(formset)(formset.__name__, (MergingFormSet, formset), attributes)


def choice_name(form: forms.BaseForm, name: str) -> str:
    return f"{form.add_prefix(name)}-{CHOICE}"


# Values


def model_fields(form: forms.ModelForm[Any]) -> dict[str, models.Field[Any, Any]]:
    """The model's fields that a form edits, by name."""
    meta = form.instance._meta
    every: Iterable[Any] = chain(meta.concrete_fields, meta.many_to_many)
    return {
        field.name: field
        for field in every
        if field.name in form.fields
        and not form.fields[field.name].disabled
        and not field.primary_key
    }


def plain_fields(form: forms.ModelForm[Any]) -> dict[str, Plain]:
    """What these fields of the form's row hold."""
    return {name: plain(field, form.instance) for name, field in model_fields(form).items()}


def plain(field: models.Field[Any, Any], instance: models.Model) -> Plain:
    value = field.value_from_object(instance)
    if value is None:
        return None
    if field.many_to_many:
        return sorted(str(related.pk) for related in value)
    if isinstance(field, models.FileField):
        return str(value)
    return field.value_to_string(instance)


def initial_of(field: models.Field[Any, Any], held: Plain) -> Any:
    """The same as a form takes it for initial."""
    if held is None or field.many_to_many or isinstance(field, models.FileField):
        return held
    return field.to_python(held)


def value_of(field: models.Field[Any, Any], instance: models.Model) -> Any:
    """The same as a form has it when it is cleaned."""
    if isinstance(field, models.ForeignKey):
        return getattr(instance, field.name)
    return field.value_from_object(instance)


# Words


def shown_plain(field: models.Field[Any, Any], held: Plain) -> str:
    """A field's value as people read it."""
    if held is None or held in ("", []):
        return str(EMPTY)
    if field.is_relation:
        related: Any = field.related_model
        name = "pk" if field.many_to_many else field.target_field.attname  # type: ignore[attr-defined]
        keys = held if isinstance(held, list) else [held]
        found = related._base_manager.filter(**{f"{name}__in": keys})
        return _cut(", ".join(map(str, found))) or _("(gone)")
    try:
        return shown(field, field.to_python(held))
    except (ValidationError, ValueError, TypeError):
        return _cut(str(held))


def shown(field: models.Field[Any, Any], value: Any) -> str:
    if isinstance(value, models.Model):
        return _cut(str(value))
    if isinstance(value, models.QuerySet) or (field.many_to_many and isinstance(value, list)):
        return _cut(", ".join(map(str, value))) or str(EMPTY)
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(field, models.FileField):
        return _cut(str(value or "")) or str(EMPTY)
    return _cut(str(display_for_field(value, field, str(EMPTY)))) or str(EMPTY)


def _cut(text: str) -> str:
    return Truncator(text).chars(SHOWN)


def saved_since(instance: models.Model, since: datetime | None) -> str:
    """The names of those who saved this row in the admin since then."""
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.contenttypes.models import ContentType

    if since is None:
        return ""
    content_type = ContentType.objects.get_for_model(instance, for_concrete_model=False)
    entries = LogEntry.objects.filter(
        content_type=content_type,
        object_id=str(instance.pk),
        action_flag=CHANGE,
        # Its time is taken a little before it is seen.
        action_time__gte=since - timedelta(seconds=1),
    ).select_related("user")
    return ", ".join(dict.fromkeys(entry.user.get_username() for entry in entries))
