from django.db.models import Q
from djangochannelsrestframework.decorators import action

from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer

from .models import Note


class NoteBinding(WebsocketBinding):
    model = Note
    stream = "notes"
    fields = ["text", "shared"]

    @classmethod
    def group_names(cls, instance):
        return ["notes"]

    def get_queryset(self, user):
        if user.is_staff:
            return Note.objects.all()
        return Note.objects.filter(Q(shared=True) | Q(owner_id=user.pk))

    def has_permission(self, user, action, pk):
        if action in ("subscribe", "list", "retrieve") or user.is_staff:
            return user.is_authenticated
        if not user.has_perm("writing.change_note"):
            return False
        return pk is None or Note.objects.filter(pk=pk, owner_id=user.pk).exists()


class NoteConsumer(NoteBinding.consumer):
    def perform_create(self, serializer):
        serializer.save(owner_id=self.scope["user"].pk)

    @action()
    def archive(self, pk, **kwargs):
        Note.objects.filter(pk=pk).update(shared=False)
        return {}, 200


class Notes(WebSocketDemultiplexer):
    consumers = {"notes": NoteConsumer}

    def connection_groups(self):
        return ["notes"]
