"""What a binding declares, and what becomes of it."""

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Prefetch
from rest_framework.serializers import IntegerField, ModelSerializer

from databinding.binding import Binding, aliases, bindings_of, registry
from databinding.form import Form
from databinding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from tests.databinding.clients import named
from tests.shapes.bindings import (
    ChildBinding,
    ClosedBinding,
    MemberBinding,
    MessageBinding,
    NamedBinding,
    PaperBinding,
)
from tests.shapes.models import Child, Message, Named, Paper, Room, Tag
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.usefixtures("registry_as_it_was")


def declare(model, base=WebsocketBinding, **attributes):
    def group_names(cls, instance):
        return ["g"]

    attributes.setdefault("group_names", classmethod(group_names))
    return type("Declared", (base,), {"model": model, **attributes})


def shown(binding, instance):
    return json.loads(Form(binding).fragment(instance))


# Fields


@pytest.mark.parametrize(
    ("model", "attributes", "expected"),
    [
        (IntegerValue, {"fields": ["value", "name"]}, ["name", "value"]),
        (IntegerValue, {"fields": ("id", "name")}, ["id", "name"]),
        (IntegerValue, {"fields": "__all__"}, ["name", "value"]),
        (IntegerValue, {"fields": ["__all__"]}, ["name", "value"]),
        (IntegerValue, {"exclude": ["value"]}, ["name"]),
        (IntegerValue, {"exclude": ()}, ["name", "value"]),
        (Message, {"fields": ["tags", "text", "room"]}, ["room", "text", "tags"]),
        (Message, {"exclude": ["hidden"]}, ["room", "text", "tags"]),
        (Child, {"fields": "__all__"}, ["title", "number"]),
        (Child, {"exclude": ["number"]}, ["title"]),
        (Named, {"fields": "__all__"}, ["value"]),
        (Named, {"fields": ["value", "code"]}, ["code", "value"]),
        (
            Paper,
            {"exclude": ["extra", "room", "blob"]},
            ["amount", "written", "day", "took", "ratio"],
        ),
    ],
)
def test_fields_come_in_the_models_order(model, attributes, expected):
    """Declared or excluded, data has the fields in the model's order and no undeclared key."""
    binding = declare(model, **attributes)
    assert binding.field_names() == expected
    if model in (IntegerValue, Child, Named):
        assert list(shown(binding, model(pk=1))) == expected


def test_a_serializer_says_what_is_sent():
    """With a serializer_class the data are its own."""

    class Serializer(ModelSerializer):
        class Meta:
            model = Message
            fields = ["text", "tags"]

        def to_representation(self, instance):
            return {"said": instance.text}

    binding = declare(Message, serializer_class=Serializer)
    assert shown(binding, Message(pk=1, text="x")) == {"said": "x"}
    assert binding.many_to_many() == ["tags"]


# Values


@pytest.mark.django_db
def test_values_have_the_forms_of_djangos_json():
    """Decimal, datetime, duration, UUID, bytes, JSON and foreign key as Channels 1 sent them."""
    room = Room.objects.create(name="r")
    paper = Paper.objects.create(
        pk=uuid.UUID("0b8f3a52-6c1e-4d8e-9a55-3f1f6f0f2a11"),
        amount=Decimal("12.50"),
        written=datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
        day=date(2024, 5, 1),
        took=timedelta(days=1, seconds=3723, microseconds=5),
        ratio=0.1,
        blob=b"\x00\xff<",
        extra={"a": [1, None], "b": "ü"},
        room=room,
    )
    paper.refresh_from_db()
    every = declare(Paper, fields="__all__")
    assert every.key(paper) == "0b8f3a52-6c1e-4d8e-9a55-3f1f6f0f2a11"
    assert every.key_from_text(paper.pk.hex) == every.key(paper)
    assert shown(every, paper) == {
        "amount": "12.50",
        "written": "2024-05-01T12:00:00.123Z",
        "day": "2024-05-01",
        "took": "1 01:02:03.000005",
        "ratio": 0.1,
        "blob": "AP88",
        "extra": {"a": [1, None], "b": "ü"},
        "room": room.pk,
    }
    empty = Paper(amount=Decimal(0))
    assert shown(PaperBinding, empty) == {
        "amount": "0",
        "written": None,
        "day": None,
        "took": None,
        "ratio": 0,
        "blob": "",
        "extra": {},
    }


@pytest.mark.django_db
def test_values_are_those_of_djangos_own_serializer():
    """What is sent of a row equals `serializers.serialize("json", …)`, Channels 1's source."""
    from django.core import serializers

    paper = Paper.objects.create(amount=Decimal("1.1"), written=datetime(2024, 1, 1, tzinfo=UTC))
    message = Message.objects.create(room=Room.objects.create(name="r"), text="x")
    message.tags.set([Tag.objects.create(name=name) for name in "abc"])
    for instance in (paper, message, IntegerValue.objects.create(name="a")):
        instance.refresh_from_db()
        binding = declare(type(instance), fields="__all__")
        (django,) = json.loads(serializers.serialize("json", [instance]))
        assert list(shown(binding, instance).items()) == list(django["fields"].items())
        assert binding.key(instance) == django["pk"]
        assert binding.label() == django["model"]


@pytest.mark.django_db
def test_many_to_many_is_a_list_of_keys(django_assert_num_queries):
    """Related keys are a list, read along with the rows in one query more."""
    message = Message.objects.create(room=Room.objects.create(name="r"), text="x")
    tags = [Tag.objects.create(name=name) for name in "ab"]
    message.tags.set(tags)
    with django_assert_num_queries(2):
        rows = list(Form(MessageBinding).queryset())
        assert shown(MessageBinding, rows[0])["tags"] == [tag.pk for tag in tags]


@pytest.mark.django_db
def test_a_childs_data_has_its_parents_fields():
    """The row of a multi-table child is sent whole, under one key."""
    child = Child.objects.create(title="t", number=3)
    assert shown(ChildBinding, child) == {"title": "t", "number": 3}
    assert ChildBinding.key(child) == child.base_ptr_id
    assert ChildBinding.key_from_text(str(child.pk)) == child.pk


def test_values_that_json_has_not_are_refused():
    """Infinity makes a row that can't be rendered, not a frame that can't be read."""
    with pytest.raises(ValueError, match="JSON compliant"):
        Form(PaperBinding).fragment(Paper(amount=0, ratio=float("inf")))


def test_members_are_sent_beside_the_fields():
    """Properties, methods and dotted paths are sent; dots become two underscores."""
    message = Message(pk=1, text="abc", room=Room(name="r"))
    assert shown(MemberBinding, message) == {
        "text": "abc",
        "shout": "ABC",
        "length": 3,
        "room__name": "r",
    }
    assert MemberBinding.extra_names() == ["shout", "length", "room__name"]
    assert WebsocketBindingWithMembers.send_members == []


# Groups


def swallows(instance):
    try:
        return [f"g-{instance.value}"]
    except Exception:
        return []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (lambda instance: ["b", "a", "b"], {"a", "b"}),
        (lambda instance: [], set()),
        (lambda instance: ("a" for _ in range(2)), {"a"}),
        (lambda instance: [f"g-{instance.pk}"], None),
        (lambda instance: ["a"] if getattr(instance, "value", 1) else ["b"], None),
        (lambda instance: ["a"] if instance else ["b"], None),
        (lambda instance: [str(instance)], None),
        (lambda instance: [f"{instance}"], None),
        (lambda instance: [repr(instance)], None),
        (lambda instance: ["a"] if instance == 3 else ["b"], None),
        (lambda instance: {instance: ["a"]}.get(3, ["b"]), None),
        (lambda instance: ["a"] if isinstance(instance, IntegerValue) else ["b"], None),
        (swallows, None),
    ],
)
def test_constant_groups_are_told_from_those_of_a_row(groups, expected):
    """Groups are constant only if `group_names` doesn't look at its row, however it looks."""
    binding = declare(
        IntegerValue,
        fields=["value"],
        group_names=classmethod(lambda cls, instance: groups(instance)),
    )
    assert binding.constant_groups() == expected


def test_a_string_is_no_list_of_groups():
    """Groups given as one string are refused, lest its letters be taken for names."""
    binding = declare(
        IntegerValue, fields=["value"], group_names=classmethod(lambda cls, instance: "all")
    )
    message = r"group_names\(\) must give a list of names, not the string 'all'"
    with pytest.raises(TypeError, match=message):
        binding.constant_groups()
    with pytest.raises(TypeError, match=r"Demultiplexer\.connection_groups\(\) must give a list"):
        named({}, "all").groups_of_page({})


# Form


def test_the_form_changes_with_what_is_sent(monkeypatch):
    """A cursor's form stands for the binding and its fields, and for nothing else."""
    before = Form(IntegerValueBinding).digest()
    assert Form(IntegerValueBinding).digest() == before
    assert Form(ClosedBinding).digest() != Form(NamedBinding).digest()
    monkeypatch.setattr(IntegerValueBinding, "fields", ["name"])
    assert Form(IntegerValueBinding).digest() != before
    monkeypatch.setattr(IntegerValueBinding, "fields", ["value", "name"])
    assert Form(IntegerValueBinding).digest() == before


def test_the_form_changes_with_the_code_that_makes_what_is_sent():
    """Another method of a binding, its serializer or a field of that is another form."""

    def digest(body, serializer=None):
        made = {"model": Named, "fields": ["value"], "group_names": lambda row: ["named"]}
        if serializer is not None:
            made |= {"fields": None, "serializer_class": serializer}
        return Form(type("Made", (Binding,), {**made, "serialize_data": body})).digest()

    def serializer(scale):
        class Scaled(IntegerField):
            if scale == 1:

                def to_representation(self, value):
                    return value
            else:

                def to_representation(self, value):
                    return scale * value

        class Made(ModelSerializer):
            value = Scaled()

            class Meta:
                model = Named
                fields = ["value"]

        return Made

    one = digest(lambda self, row: {"value": row.value})
    assert digest(lambda self, row: {"value": row.value}) == one
    assert digest(lambda self, row: {"value": row.value + 1}) != one
    assert digest(lambda self, row: {"value": row.code}) != one
    assert digest(lambda self, row: {"value": row.value in {"a", "b"}}) != one
    whole = Binding.serialize_data
    assert digest(whole, serializer(1)) == digest(whole, serializer(1))
    assert digest(whole, serializer(1)) != digest(whole, serializer(2))


def test_the_form_is_the_same_in_every_process():
    """What Python orders by chance makes no difference."""
    code = """
import django
django.setup()
from databinding.fingerprints import fingerprint
from databinding.form import Form
from tests.shapes.bindings import MemberBinding
class Chosen:
    def __contains__(self, key):
        return key in {"a", "b", "c", "d", "e"}
print(fingerprint([Chosen]), Form(MemberBinding).digest())
"""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2", "3")
    ]
    said = {program.communicate(timeout=60)[0] for program in programs}
    assert len(said) == 1
    assert Form(MemberBinding).digest() in said.pop()


def test_the_form_of_a_serializer_and_of_members(monkeypatch):
    """Another field of a serializer, or another member, is another form."""

    class One(ModelSerializer):
        class Meta:
            model = Named
            fields = ["value"]

    class Two(ModelSerializer):
        class Meta:
            model = Named
            fields = ["code", "value"]

    binding = declare(Named, serializer_class=One)
    before = Form(binding).digest()
    binding.serializer_class = Two
    assert Form(binding).digest() != before
    before = Form(MemberBinding).digest()
    monkeypatch.setattr(MemberBinding, "send_members", ["shout"])
    assert Form(MemberBinding).digest() != before


# Declarations


def test_a_binding_without_fields_is_refused():
    """A binding must say what it sends."""
    with pytest.raises(ImproperlyConfigured, match="must set fields, exclude or serializer_class"):
        declare(IntegerValue)


@pytest.mark.parametrize("attributes", [{"fields": ["nope"]}, {"exclude": ["nope"]}])
def test_a_field_that_is_not_there_is_named(attributes):
    """A misspelt field is named with its binding and model."""
    with pytest.raises(FieldDoesNotExist, match=r"Declared: IntegerValue has no nope\."):
        declare(IntegerValue, **attributes).field_names()


def test_a_binding_without_groups_is_named():
    """Without `group_names` the error says whose they are."""

    class Groupless(Binding):
        model = IntegerValue
        fields = ["value"]

    with pytest.raises(NotImplementedError, match="Groupless must have group_names"):
        Groupless.constant_groups()


def test_permission_is_denied_unless_granted():
    """A binding that says nothing of permission grants nothing."""
    for action in ("subscribe", "list", "retrieve", "create", "update", "delete", "own"):
        assert not ClosedBinding().has_permission(None, action, None)


def test_declaring_registers_bindings_with_a_model():
    """Every declared binding with a model is registered once; abstract ones are not."""
    before = list(registry)

    class Abstract(WebsocketBinding):
        pass

    assert registry == before
    declared = declare(IntegerValue, base=Abstract, fields=["value"])
    assert registry == [*before, declared]
    assert aliases() == ["default"]
    assert list(bindings_of("default")) == registry
    assert list(bindings_of("other")) == []


def test_the_apps_bindings_were_discovered():
    """Each app's `bindings.py` is imported by the time Django is ready."""
    from values.bindings import IntegerValueBinding as Values

    assert {Values, IntegerValueBinding, MessageBinding} <= set(registry)


def tagged():
    """A message with tags that were added against their order."""
    message = Message.objects.create(room=Room.objects.create(name="r"), text="a")
    for tag in reversed([Tag.objects.create(name=name) for name in "xyz"]):
        message.tags.add(tag)
    return message


@pytest.mark.django_db(transaction=True)
def test_lists_are_in_an_order_that_stays():
    """A list of related rows is in the order of their model, or else of their keys: whatever the
    database does, the same rows look the same."""
    tagged()
    (message,) = Form(MessageBinding).queryset()
    tags = json.loads(Form(MessageBinding).fragment(message))["tags"]
    assert tags == sorted(tags)
    assert len(tags) == 3


@pytest.mark.django_db(transaction=True)
def test_a_binding_may_read_its_lists_in_its_own_way():
    """What `get_queryset` prefetches is left as it is."""

    class BackwardsBinding(MessageBinding):
        @classmethod
        def get_queryset(cls):
            tags = Tag.objects.order_by("-pk")
            return Message.objects.prefetch_related(Prefetch("tags", queryset=tags))

    tagged()
    (message,) = Form(BackwardsBinding).queryset()
    tags = json.loads(Form(BackwardsBinding).fragment(message))["tags"]
    assert tags == sorted(tags, reverse=True)
    assert len(tags) == 3
