from daphne.management.commands.runserver import Command

__all__ = ["Command"]
