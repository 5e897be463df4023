"""Users of the tests, and how their being here ends."""

from importlib import import_module

from channels.db import database_sync_to_async as in_database
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User


@in_database
def user_named(name, **account):
    return User.objects.create_user(name, **account)  # Hashing a password takes long.


@in_database
def log_in(user):
    session = session_with(None)
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session


def session_with(key):
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def log_out(user, session):
    session.flush()


def deactivate(user, session):
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(user, session):
    user.set_password("new")
    user.save()


def remove(user, session):
    user.delete()


ENDS = [log_out, deactivate, change_password, remove]
