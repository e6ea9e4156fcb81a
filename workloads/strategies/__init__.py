"""How replicas exchange gradients and hold parameters, one strategy a file."""

from workloads._registry import Registry

STRATEGIES = Registry(__name__, __path__)
