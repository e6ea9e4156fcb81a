"""What the machine is: one topology family a file, each with ``build(...) -> networkx.DiGraph``."""

from topologies._registry import Registry

TOPOLOGIES = Registry(__name__, __path__)
