"""``python -m databinding``: see `databinding.client.command`. Needs no Django, set up or not."""

import sys

try:
    from databinding.client.command import main
except ModuleNotFoundError as error:
    if error.name != "websockets":
        raise
    sys.exit("This needs the package websockets: pip install django-databinding[client]")

if __name__ == "__main__":
    sys.exit(main())
