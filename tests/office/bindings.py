from django.contrib.auth.models import User

from databinding.websockets import WebsocketBinding

from .models import Task


class Office(WebsocketBinding):
    """Live in the admin alone: there is nobody else to see it."""

    @classmethod
    def group_names(cls, instance):
        return []


class TaskBinding(Office):
    model = Task
    stream = "task"
    fields = ["title", "helpers"]


class UserBinding(Office):
    model = User
    stream = "user"
    fields = ["username", "groups"]
