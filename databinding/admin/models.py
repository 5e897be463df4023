"""Who is at which row: an open admin page of somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

#: How long somebody counts as here after their page has last said so. Browsers let a hidden page
#: speak once a minute.
LEASE = timedelta(seconds=90)


class Presence(models.Model):
    """An open page, which renews this for as long as it lives."""

    #: The stream of the model's admin.
    place = models.CharField(max_length=200, db_index=True)
    #: The row's primary key; empty: at the list.
    row = models.CharField(max_length=200, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    #: As others read it.
    name = models.CharField(max_length=150)
    #: The page's secret: who knows it may renew and end this.
    key = models.UUIDField(unique=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.name} at {self.place} {self.row}".rstrip()

    @classmethod
    def renew(cls, place: str, row: str, user: Any, key: Any) -> Presence:
        """Say that this page is here, for another `LEASE`; whose lease is over, is gone."""
        now = timezone.now()
        cls.objects.filter(expires_at__lt=now).delete()
        lease = {
            "place": place,
            "row": row,
            "user": user,
            "name": (user.get_short_name() or user.get_username())[:150],
            "expires_at": now + LEASE,
        }
        return cls.objects.update_or_create(key=key, user=user, defaults=lease)[0]
