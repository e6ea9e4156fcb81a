"""Collective algorithms, one a file: what is sent (`steps`) and the closed form (`cost`) side by side."""

from topologies._registry import Registry

COLLECTIVES = Registry(__name__, __path__)
