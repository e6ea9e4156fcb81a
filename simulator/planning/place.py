"""A fabric to ask about: its graph at every size, what was measured on it, what the predictor makes of it."""

from collections.abc import Mapping
from typing import Any

import networkx as nx

from simulator.calibration.own import asked, corpus_of_profile
from simulator.calibration.predictor import Predictor
from simulator.calibration.setting import Setting, of_fabric
from simulator.collectives import _nccl as nccl
from simulator.engine.fabric import load
from simulator.profile import Profile, parse


class Fabric:
    """A fabric of the catalogue or of a file, grown as asked, with what was measured on it.

    Parameters
    ----------
    name : str
        A name of the catalogue or a file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._graphs: dict[int | None, nx.DiGraph] = {}
        _, tables = self._load(None) if name.endswith(".toml") else (None, None)
        self.profile: Profile | None = None
        if tables and tables.get("kind") == "profile":
            self.profile = parse(tables, name)
        own = corpus_of_profile(self.profile, self._attributes) if self.profile else None
        self.predictor = Predictor(own)

    def _load(self, gpus: int | None) -> tuple[nx.DiGraph, Mapping[str, Any] | None]:
        graph, tables = load(self.name, gpus)
        self._graphs[gpus] = graph
        return graph, tables

    def graph(self, gpus: int) -> nx.DiGraph:
        """Return the graph with so many GPUs; UsageError if the fabric cannot have them."""
        return self._graphs[gpus] if gpus in self._graphs else self._load(gpus)[0]

    def _attributes(self, gpus: int) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = self.graph(gpus).graph
        return attributes

    def setting(self, op: str, gpus: int) -> Setting | None:
        """Return what the predictor knows the machine by; None where no library is known to run on it."""
        if self.profile is not None:
            return asked(self.profile, op, gpus, self._attributes)
        try:
            found = of_fabric(self._attributes(gpus), op, gpus)
        except ValueError:
            return None
        return None if found.family == "other" else found

    def machine(self, gpus: int) -> nccl.Machine | None:
        """Return what NCCL sees, None where it does not run."""
        try:
            return nccl.machine_of(self._attributes(gpus), gpus)
        except ValueError:
            return None
