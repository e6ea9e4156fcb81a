"""What `commsim demo` shows: the main job once through, on measurements that ship with the product."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np

from simulator.calibration import _pieces
from simulator.calibration.corpus import shipped_rows, sources, splits
from simulator.calibration.fit import fit
from simulator.calibration.logs._log import Log, LogRow
from simulator.calibration.predictor import Prediction, Predictor
from simulator.calibration.setting import of_row
from simulator.collectives import COLLECTIVES
from simulator.collectives import _nccl as nccl
from simulator.engine.channels import run_rings
from simulator.engine.collective import FIDELITIES
from simulator.planning.collective import Fabric, ask
from simulator.profile import Piece, Series
from topologies._measures import bisection, diameter, wiring
from topologies._routing import Router

Rows = list[dict[str, Any]]
OP = "all_reduce"
FABRIC = "dgx-h100-ib400"
GPUS = 64
STEP_GPUS = (64, 512, 2048)  # clusters that the training step is shown on
SIZE = 256 * 2**20  # bytes
REPLAYED = 16  # GPUs whose every message is replayed: two machines, so that it takes no second
SIZES = tuple(2**power for power in range(12, 33, 4))  # bytes
CLUSTERS = tuple(2**power for power in range(3, 11))  # GPUs
SERIES = "aws-p5-efa-ar-16"  # sixteen H100 in two machines; its licence allows all
SERIES_FABRIC = "aws-p5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """One measured series and three models of it, judged on sizes that none of them was fitted on.

    Parameters
    ----------
    source, licence, url : str
        Who measured, under which licence, where.
    points : list of dict
        By size: measured seconds, held out or not, what the models say, the predictor's 90 % interval.
    alpha_beta : Line
        The best single line through the sizes that were not held out.
    pieces : tuple of Piece
        The lines of the calibration through the same.
    models : list of dict
        One row a model: errors on fitted and on held-out points.
    """

    source: str
    licence: str
    url: str
    points: Rows
    alpha_beta: _pieces.Line
    pieces: tuple[Piece, ...]
    models: Rows


def described(graph: nx.DiGraph) -> dict[str, Any]:
    """Return what a fabric's graph consists of; the bandwidth is that between its halves."""
    return {
        "name": FABRIC,
        "gpus": GPUS,
        "nodes": len(graph),
        "cables": wiring(graph).network,
        "connections_inside": wiring(graph).inside,
        "diameter_links": diameter(graph),
        "bisection_Bps": bisection(graph),
    }


def replayed(graph: nx.DiGraph) -> Rows:
    """Return one ring all-reduce by each fidelity, with what was simulated for it."""
    rings = int(graph.graph["nics_per_node"])
    rows = []
    for fidelity in FIDELITIES:
        run = run_rings(
            graph,
            COLLECTIVES[f"ring_{OP}"],
            REPLAYED,
            float(SIZE),
            channels=rings,
            fidelity=fidelity,
            router=Router(graph, "rail"),
        )
        flows = {"formula": 0, "fluid": rings, "messages": run.messages}[fidelity]
        rows.append({"fidelity": fidelity, "time_s": run.time_s, "flows": flows, "gpus": REPLAYED})
    return rows


def chosen(place: Fabric) -> Rows:
    """Return what NCCL would run at some sizes, and how long that takes."""
    setting, machine = place.setting(OP, GPUS), place.machine(GPUS)
    if setting is None or machine is None:
        raise ValueError(f"{place.name} is no machine that NCCL runs on")
    predictions = place.predictor.predict([(setting, size) for size in SIZES])
    rows = []
    for size, found in zip(SIZES, predictions, strict=True):
        best = nccl.choose(OP, size, machine)
        row = {"size_bytes": size, "algorithm": best.algorithm, "protocol": best.protocol}
        rows.append(row | {"channels": best.channels} | _predicted(found))
    return rows


def _predicted(found: Prediction) -> dict[str, Any]:
    return {"time_s": found.time_s, "low_s": found.low_s, "high_s": found.high_s, "basis": found.basis}


def across(place: Fabric) -> Rows:
    """Return the same operation on growing clusters."""
    return [row for gpus in CLUSTERS for row in ask(OP, size=SIZE, gpus=gpus, fabric=place).rows]


def calibrated() -> Calibrated:
    """Return a measured series, what was fitted to three quarters of it, and the errors on the rest."""
    held = {int(size) for size in splits()["sizes"][SERIES]}
    rows = [row for row in shipped_rows() if row.series_id == SERIES and not row.spike]
    seen = [row for row in rows if row.size_bytes not in held]
    pieces = fit([Log(source=SERIES, format="table", rows=seen)], _machine).pieces
    line = _alpha_beta(seen)
    predictions = Predictor().predict([(of_row(row), row.size_bytes) for row in rows])
    points = [
        {
            "size_bytes": row.size_bytes,
            "measured_s": row.time_s,
            "held_out": row.size_bytes in held,
            "alpha_beta_s": line.time(row.size_bytes),
            "pieces_s": piecewise(pieces, row.size_bytes),
            **_predicted(found),
        }
        for row, found in zip(rows, predictions, strict=True)
    ]
    about = next(one for one in sources() if one["name"] == rows[0].source)
    addresses = about["urls"]
    return Calibrated(
        source=rows[0].source,
        licence=str(about["licence"]),
        url=str(addresses[0]) if isinstance(addresses, list) and addresses else "",
        points=points,
        alpha_beta=line,
        pieces=pieces,
        models=list(_models(points, len(pieces))),
    )


def _machine(series: Series) -> nccl.Machine | None:
    return Fabric(SERIES_FABRIC).machine(series.gpus)


def _alpha_beta(rows: Sequence[LogRow]) -> _pieces.Line:
    """Return the one line that fits best, by the errors and weights that the pieces are fitted by."""
    sizes = np.array([row.size_bytes for row in rows], dtype=float)
    times = np.array([row.time_s for row in rows], dtype=float)
    return _pieces.lines(sizes, times, _pieces.doubts(sizes, times), [0])[0]


def piecewise(pieces: Sequence[Piece], size: int) -> float:
    """Return the seconds that fitted lines say; the outer ones go on beyond their ends."""
    piece = next(
        (one for one, above in pairwise(pieces) if size < above.from_bytes),
        pieces[-1],
    )
    return piece.alpha_s + size / piece.bandwidth_Bps


def _models(points: Rows, pieces: int) -> Iterator[dict[str, Any]]:
    """Yield how far each model is off, on points that it was fitted to and on points that it was not."""

    def errors(key: str, which: Callable[[dict[str, Any]], bool]) -> dict[int, float]:
        some = filter(which, points)
        return {point["size_bytes"]: abs(point[key] / point["measured_s"] - 1) for point in some}

    for name, key in (
        ("alpha-beta", "alpha_beta_s"),
        (f"{pieces} pieces", "pieces_s"),
        ("commsim", "time_s"),
    ):
        # the predictor leaves out of its data the very point asked for, and no other
        fitted = {} if key == "time_s" else errors(key, lambda point: not point["held_out"])
        unseen = errors(key, lambda point: bool(point["held_out"]))
        worst = max(unseen, key=unseen.__getitem__)
        yield {
            "model": name,
            "fitted_error": float(np.mean(list(fitted.values()))) if fitted else None,
            "held_out": len(unseen),
            "held_out_error": float(np.mean(list(unseen.values()))),
            "worst_error": unseen[worst],
            "worst_size_bytes": worst,
        }


def steps() -> list[dict[str, Any]]:
    """Return the training step of the preset ``demo`` on several sizes of cluster, by formula."""
    from simulator.planning.estimate import Desk, estimate, made
    from simulator.planning.presets import preset

    asked = preset("demo") | {"fidelity": "formula"}
    desk = Desk(Fabric(str(asked["fabric"])))
    return [estimate(made(asked | {"gpus": count}), desk).row for count in STEP_GPUS]
