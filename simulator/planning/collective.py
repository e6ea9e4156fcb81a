"""What one collective costs on one fabric: NCCL's choice, the predicted time, and what contention adds.

The predictor says how long the operation takes on such a machine, with an interval; a replay on the fabric's
graph says how much slower than its own closed form the chosen algorithm runs there, and which link is to
blame. The two are multiplied: measurements set the level, events the contention.
"""

from collections.abc import Callable
from typing import Any

from simulator.calibration.predictor import Prediction
from simulator.collectives import _nccl as nccl
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.engine.collective import FIDELITIES, CollectiveRun, Fidelity
from simulator.errors import unknown
from simulator.operations import OPERATIONS
from simulator.planning.choice import MOST_RING, Answer, Choice, Question, choose, feasible, replay
from simulator.planning.place import Fabric

__all__ = ["Fabric", "ask"]

_COUNTED = 256  # ranks up to which a formula also counts what each link carries, other than by rings


def ask(
    op: str,
    *,
    size: int,
    gpus: int,
    fabric: "str | Fabric",
    algorithm: str = "auto",
    protocol: str = "auto",
    fidelity: str = "formula",
    release: str = nccl.NEWEST,
    progress: Callable[[int], object] | None = None,
) -> Answer:
    """Return the cost of one collective.

    Parameters
    ----------
    op : str
        Operation.
    size : int
        Bytes, as nccl-tests counts them; 0 costs latency only.
    gpus : int
        Ranks.
    fabric : str or Fabric
        A name of the catalogue or a file.
    algorithm, protocol : str
        ``auto``: what NCCL would choose; else its name, or one of ours.
    fidelity : str
        ``formula``, ``fluid`` or ``messages``.
    release : str
        NCCL release.
    progress : callable, optional
        Called now and then with how many messages have ended, where every message is followed.

    Raises
    ------
    UsageError
        A name, a count or a combination that there is not.
    InputError
        A fabric file that is wrong in itself.
    """
    if op not in OPERATIONS:
        raise unknown("operation", op, OPERATIONS, where="OP")
    if fidelity not in FIDELITIES:
        raise unknown("fidelity", fidelity, FIDELITIES, where="--fidelity")
    place = fabric if isinstance(fabric, Fabric) else Fabric(fabric)
    question = Question(op, size, gpus, place.graph(gpus), Answer(), progress)
    if gpus == 1:
        question.answer.rows.append(_row(question, Choice("", "none"), 0.0, (0.0, 0.0), "calibrated", None))
        return question.answer
    choice = choose(question, place.machine(gpus), algorithm, protocol, release)
    setting = place.setting(op, gpus)
    predicted = None if setting is None else place.predictor.predict([(setting, size)])[0]
    question.answer.rows.append(_answer(question, choice, predicted, fidelity))
    return question.answer


def _answer(
    question: Question, choice: Choice, predicted: Prediction | None, fidelity: str
) -> dict[str, Any]:
    kind: Fidelity = fidelity  # type: ignore[assignment]
    most = MOST_RING if choice.file.startswith("ring_") else _COUNTED
    counted = question.gpus <= most or fidelity != "formula"
    run = replay(question, choice, kind) if counted else None
    if run is None:
        question.warn(f"above {most:,} GPUs the formula counts no links")
    if predicted is None:
        question.warn(
            "no library is known to run on this machine: closed form of an idle network, no interval"
        )
        run = run or replay(question, choice, kind)
        seconds = feasible(run)
        if seconds > run.time_s:
            question.warn("several ranks share its busiest link, which sets the time: see --fidelity fluid")
        return _row(question, choice, seconds, (None, None), "catalogue", run)
    question.answer.warnings += [f"assumed: {what}" for what in predicted.assumed]
    scale = choice.ratio
    if run is not None and fidelity != "formula":
        scale *= run.time_s / replay(question, choice, "formula").time_s
    ends = (predicted.low_s * scale, predicted.high_s * scale)
    level = predicted.time_s * choice.ratio / _price(question, choice) if question.answer.candidates else 1.0
    for one in question.answer.candidates:
        one["time_s"] *= level
    return _row(question, choice, predicted.time_s * scale, ends, predicted.basis, run)


def _price(question: Question, choice: Choice) -> float:
    """Return the price of the choice among the candidates, which the prediction then stands for."""
    mine = (choice.name, choice.protocol)
    prices = [one for one in question.answer.candidates if (one["algorithm"], one["protocol"]) == mine]
    return float((prices or question.answer.candidates)[0]["time_s"])


def _row(
    question: Question,
    choice: Choice,
    seconds: float,
    ends: tuple[float | None, float | None],
    basis: str,
    run: CollectiveRun | None,
) -> dict[str, Any]:
    rate = question.size / seconds if seconds > 0 else None
    return {
        "op": question.op,
        "gpus": question.gpus,
        "size_bytes": question.size,
        "time_s": seconds,
        "low_s": ends[0],
        "high_s": ends[1],
        "algbw_Bps": rate,
        "busbw_Bps": None if rate is None else rate * bus_factor(question.op, question.gpus),
        "algorithm": choice.name,
        "protocol": choice.protocol,
        "channels": choice.channels,
        "steps": run.steps if run else 0 if question.gpus == 1 else None,
        "volume_bytes_per_rank": run.volume_bytes_per_rank if run else 0.0 if question.gpus == 1 else None,
        "bottleneck": None if run is None else _link(run, seconds),
        "basis": basis,
    }


def _link(run: CollectiveRun, seconds: float) -> dict[str, Any] | None:
    """Return the link that is busy longest, and for which part of the predicted time."""
    if run.bottleneck is None:
        return None
    (tail, head), share = run.bottleneck
    return {"src": _node(tail), "dst": _node(head), "busy": share * run.time_s / seconds}


def _node(node: Any) -> str:
    return "-".join(map(str, node)) if isinstance(node, tuple) else str(node)
