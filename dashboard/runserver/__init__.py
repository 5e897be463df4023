"""An app for `manage.py runserver` alone: daphne's, which speaks ASGI.

The app `daphne` would do the same, and load Twisted into every process: a quarter of a start.
"""
