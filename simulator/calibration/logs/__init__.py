"""Readers of measured runs, one format a file: ``sniff(text) -> bool`` and ``read(text, source) -> Log``."""

from topologies._registry import Registry

LOGS = Registry(__name__, __path__)
