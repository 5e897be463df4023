from rest_framework.serializers import ModelSerializer, SerializerMethodField

from databinding.websockets import WebsocketBinding, WebSocketDemultiplexer

from .models import Booking, Hall, Parcel
from .notes import NoteBinding  # noqa: F401  (of docs/reference/permissions.md)


class Everybody:
    """Anybody may do anything."""

    @classmethod
    def group_names(cls, instance):
        return ["halls"]

    def has_permission(self, user, action, pk):
        return True


class BookingBinding(Everybody, WebsocketBinding):
    """`owner` and `saves` aren't declared."""

    model = Booking
    stream = "booking"
    fields = ["hall", "slot", "begins", "ends", "code", "extra"]


class HallBinding(Everybody, WebsocketBinding):
    model = Hall
    stream = "hall"
    fields = ["name"]


class ParcelBinding(Everybody, WebsocketBinding):
    model = Parcel
    stream = "parcel"
    fields = "__all__"


class BookingSerializer(ModelSerializer):
    length = SerializerMethodField()

    class Meta:
        model = Booking
        fields = ["hall", "slot", "owner", "length"]
        read_only_fields = ["owner"]

    def get_length(self, row):
        return row.ends - row.begins


class SerializedBinding(Everybody, WebsocketBinding):
    model = Booking
    stream = "serialized"
    serializer_class = BookingSerializer


class ForOwnBinding(Everybody, WebsocketBinding):
    """Bookings that have no owner; whoever gives one one sees it no more."""

    model = Booking
    stream = "unowned"
    fields = ["hall", "slot", "owner"]

    @classmethod
    def get_queryset(cls):
        return Booking.objects.filter(owner="")


class Demultiplexer(WebSocketDemultiplexer):
    consumers = {
        "booking": BookingBinding,
        "hall": HallBinding,
        "parcel": ParcelBinding,
        "serialized": SerializedBinding,
        "unowned": ForOwnBinding,
    }

    def connection_groups(self):
        return ["halls"]
