"""Permission classes of Django REST framework beside `has_permission`, at every door."""

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.test import AsyncClient
from djangochannelsrestframework.decorators import action
from rest_framework import permissions
from rest_framework.serializers import ModelSerializer, PrimaryKeyRelatedField

from databinding import checks
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, named
from tests.shapes.bindings import NoteBinding
from tests.shapes.models import Note
from tests.writing.bindings import HallBinding
from tests.writing.models import Hall
from values.bindings import IntegerValueBinding
from values.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

READS = ("subscribe", "list", "retrieve")
WRITES = {"create": "add", "update": "change", "delete": "delete"}


class NotFor(permissions.BasePermission):
    """Halls of this name aren't for anybody."""

    message = "Not this one."

    def has_object_permission(self, request, view, obj):
        return obj.name != "closed"


class Watching(permissions.BasePermission):
    seen = []

    def has_permission(self, request, view):
        self.seen.append((request.method, view.action, view.kwargs, view.get_queryset().model))
        return request.user.is_authenticated

    def has_object_permission(self, request, view, obj):
        self.seen.append(obj.name)
        return True


@pytest.fixture
def binding(monkeypatch):
    """The halls' binding, which grants nothing by itself."""
    monkeypatch.setattr(HallBinding, "has_permission", WebsocketBinding.has_permission)
    return HallBinding


@pytest.fixture
def hall(transactional_db):
    return Hall.objects.create(name="red")


@pytest.fixture
def ana(transactional_db):
    return User.objects.create(username="ana")


class Consumer(HallBinding.consumer):
    @action()
    def paint(self, pk, **kwargs):
        return {"painted": pk}, 200

    @action()
    def rest(self, **kwargs):
        return None, 200


Halls = named({"hall": Consumer}, ["halls"])


async def statuses(user, hall):
    """What each action of this user is answered."""
    found = {}
    async with Client(Halls, user=user) as client:
        for name, payload in {
            "list": {},
            "retrieve": {"pk": hall.pk},
            "paint": {"pk": hall.pk},
            "rest": {},
            "create": {"data": {"name": "new"}},
            "update": {"pk": hall.pk, "data": {}},
            "subscribe": {},
            "delete": {"pk": hall.pk},
        }.items():
            found[name] = (await client.ask("hall", name, **payload))["response_status"]
    return found


async def test_without_either_nothing_is_granted(binding, hall, ana):
    """A binding that says nothing of permissions denies everything."""
    assert set((await statuses(ana, hall)).values()) == {403}


async def test_classes_alone_decide(binding, hall, ana, monkeypatch):
    """Where `has_permission` isn't overridden the classes' word counts."""
    monkeypatch.setattr(binding, "permission_classes", [permissions.IsAuthenticated])
    assert set((await statuses(AnonymousUser(), hall)).values()) == {401}
    found = await statuses(ana, hall)
    assert {name: status for name, status in found.items() if status >= 300} == {}


async def test_both_must_agree(binding, hall, ana, monkeypatch):
    """What either refuses is refused."""
    monkeypatch.setattr(binding, "permission_classes", [permissions.IsAuthenticated])
    monkeypatch.setattr(binding, "has_permission", lambda self, user, action, pk: action in READS)
    found = await statuses(ana, hall)
    assert {name for name, status in found.items() if status == 200} == set(READS)
    assert set((await statuses(AnonymousUser(), hall)).values()) == {401}


async def test_classes_can_be_combined(binding, hall, ana, monkeypatch):
    """Django REST framework's `&` and `|` work as they do there."""
    either = permissions.IsAdminUser | permissions.IsAuthenticatedOrReadOnly
    monkeypatch.setattr(binding, "permission_classes", [either & permissions.AllowAny])
    found = await statuses(AnonymousUser(), hall)
    assert {name for name, status in found.items() if status == 200} == set(READS)


async def test_model_permissions(binding, hall, ana, monkeypatch):
    """`DjangoModelPermissions` asks for the right that each write needs; other actions change."""
    monkeypatch.setattr(binding, "permission_classes", [permissions.DjangoModelPermissions])
    assert set((await statuses(AnonymousUser(), hall)).values()) == {401}
    for name, codename in WRITES.items():
        right = await Permission.objects.aget(codename=f"{codename}_hall")
        await ana.user_permissions.aset([right])
        granted = {
            name for name, status in (await statuses(ana, hall)).items() if status in (200, 201)
        }
        others = {"update": {"paint"}, "create": {"rest"}, "delete": set()}[name]
        assert granted - {"delete"} == {*READS, *others, name} - {"delete"}
    assert not await Hall.objects.filter(pk=hall.pk).aexists()


async def test_classes_judge_rows(binding, hall, ana, monkeypatch):
    """`has_object_permission` is asked about the row, and its message is the answer's."""
    monkeypatch.setattr(binding, "permission_classes", [NotFor])
    closed = await Hall.objects.acreate(name="closed")
    refused = {"retrieve", "update", "delete", "paint"}
    found = await statuses(ana, closed)
    assert {name for name, status in found.items() if status == 403} == refused
    async with Client(Halls, user=ana) as client:
        reply = await client.ask("hall", "retrieve", pk=closed.pk)
        assert reply["errors"] == ["Not this one."]
        assert (await client.ask("hall", "paint", pk=closed.pk + 99))["response_status"] == 404


async def test_what_classes_are_shown(binding, hall, ana, monkeypatch):
    """Method, action, key and model as a view of Django REST framework has them; where a row is
    locked, they are asked before that, and about the row as it is then."""
    monkeypatch.setattr(binding, "permission_classes", [Watching])
    Watching.seen.clear()
    await statuses(ana, hall)
    one = {"pk": hall.pk}
    assert Watching.seen == [
        ("GET", "list", {}, Hall),
        ("GET", "retrieve", one, Hall),
        "red",
        ("PATCH", "paint", one, Hall),
        "red",
        ("POST", "rest", {}, Hall),
        ("POST", "create", {}, Hall),
        *[("PATCH", "update", one, Hall), "red"] * 2,
        ("GET", "subscribe", {}, Hall),
        *[("DELETE", "delete", one, Hall), "red"] * 2,
    ]


def test_what_is_no_permission_class_is_named(monkeypatch):
    """A check names what can't be asked."""
    assert [found.id for found in checks.check_permissions()] == []
    for wrong in (object, "IsAuthenticated", permissions):
        monkeypatch.setattr(HallBinding, "permission_classes", [wrong])
        (found,) = checks.check_permissions()
        assert (found.id, found.obj) == ("databinding.E020", HallBinding)


@pytest.mark.parametrize("wrong", ["nowhere.Class", "tests.writing.models.Hall", 5])
def test_what_is_no_authentication_class_is_named(wrong, settings):
    """So it is with the setting AUTHENTICATION."""
    settings.DATABINDING = {"AUTHENTICATION": [wrong]}
    (found,) = checks.check_authentication()
    assert found.id == "databinding.E021"


async def test_event_streams_ask_the_same(monkeypatch, ana):
    """An event stream is a subscription like any other."""
    monkeypatch.setattr(IntegerValueBinding, "permission_classes", [permissions.IsAuthenticated])
    client = AsyncClient()
    assert (await client.get("/stream/intval/events")).status_code == 401
    await client.aforce_login(ana)
    response = await client.get("/stream/intval/events")
    assert response.status_code == 200
    response.close()


async def test_rest_asks_the_same(monkeypatch, ana):
    """One declaration counts for REST as well, down to the row."""

    class Unlocked(permissions.BasePermission):
        def has_permission(self, request, view):
            assert request.META["REMOTE_ADDR"] == "127.0.0.1"
            return view.action != "list"

        def has_object_permission(self, request, view, obj):
            return obj.name != "locked"

    monkeypatch.setattr(IntegerValueBinding, "permission_classes", [Unlocked])
    monkeypatch.setattr(IntegerValueBinding, "has_permission", WebsocketBinding.has_permission)
    free, locked = [await IntegerValue.objects.acreate(name=name) for name in ("free", "locked")]
    client = AsyncClient()
    await client.aforce_login(ana)
    assert (await client.get("/api/intval/")).status_code == 403
    for row, status in ((free, 200), (locked, 403)):
        path = f"/api/intval/{row.pk}/"
        assert (await client.get(path)).status_code == status
        changed = await client.patch(path, {"value": 2}, "application/json")
        assert changed.status_code == status
    assert (await client.delete(f"/api/intval/{locked.pk}/")).status_code == 403


class Own(PrimaryKeyRelatedField):
    """Leads to its writer alone."""

    def get_queryset(self):
        return User.objects.filter(pk=self.context["request"].user.pk)


class OwnSerializer(ModelSerializer):
    owner = Own()

    class Meta:
        model = Note
        fields = ["owner", "text"]


async def test_relations_lead_only_to_what_their_writer_sees(monkeypatch, ana):
    """A serializer knows who writes: what isn't his to refer to is as if it weren't there."""
    monkeypatch.setattr(NoteBinding, "serializer_class", OwnSerializer)
    monkeypatch.setattr(NoteBinding, "readable_fields", classmethod(lambda cls, user: None))
    bo = await User.objects.acreate(username="bo")
    async with Client(named({"note": NoteBinding}, ["notes"]), user=ana) as client:
        answers = [
            await client.ask("note", "create", data={"owner": owner, "text": "x"})
            for owner in (ana.pk, bo.pk, 4711)
        ]
        assert [answer["response_status"] for answer in answers] == [201, 400, 400]
        theirs, nobodys = [str(answer["errors"]) for answer in answers[1:]]
        assert theirs.replace(str(bo.pk), "4711") == nobodys
        pk = answers[0]["pk"]
        changed = await client.ask("note", "update", pk=pk, data={"owner": bo.pk})
        assert changed["response_status"] == 400
