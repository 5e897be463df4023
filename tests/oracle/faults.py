"""Faults planted into a server's process, to show that the oracle sees them."""

PLANTED = {}


def fault(plant):
    PLANTED[plant.__name__] = plant
    return plant


def plant(name):
    PLANTED[name]()
