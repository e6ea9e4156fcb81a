"""What a row measured, as seconds of one step: printed, from the token rate, or from a printed FLOP rate."""

from collections.abc import Callable
from dataclasses import dataclass

from simulator.calibration.steps.case import Case
from simulator.calibration.steps.words import Row, cell, number
from workloads.model import Model

MEASURED = ("step_time_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu")
"""Columns that hold results; a case never depends on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Seconds of one step, and how they were read.

    Parameters
    ----------
    seconds : float
        Of one optimizer step.
    how : str
        ``step time``, ``token rate`` or ``FLOP rate``.
    """

    seconds: float
    how: str


def sc21(model: Model, seq_len: int) -> float:
    """Return FLOPs a token: 96 s l h^2 (1 + s/(6h) + V/(16 l h)) a sample, recomputation included.

    References
    ----------
    .. [1] Narayanan et al., SC21, arXiv:2104.04473, section 5.1 and appendix.
    """
    layers, hidden = model.layers, model.hidden
    return 96.0 * layers * hidden**2 * (1 + seq_len / (6 * hidden) + model.vocab / (16 * layers * hidden))


def nemo(model: Model, seq_len: int) -> float:
    """Return FLOPs a token as NeMo counts: products forward and backward, the whole score matrix, the head.

    Checked on the rows of the same source that print both a token rate and TFLOP/s (within 0.5 %).

    References
    ----------
    .. [1] NVIDIA NeMo, nemo/utils/flops_formulas.py.
    """
    layers, hidden = model.layers, model.hidden
    keys = model.kv_heads / model.heads
    up = (18 if model.gated else 12) * model.ffn / hidden
    return layers * hidden**2 * (12 + 12 * keys + up + 12 * seq_len / hidden) + 6.0 * model.vocab * hidden


def six_n(model: Model, seq_len: int) -> float:
    """Return 6 N FLOPs a token: N parameters of a dense model, attention left out.

    References
    ----------
    .. [1] Dubey et al., The Llama 3 Herd of Models, arXiv:2407.21783, section 3.2: 3.8e25 FLOPs = 6 N D.
    """
    del seq_len
    layers, hidden = model.layers, model.hidden
    heads = 2 * model.head_dim * (model.heads + model.kv_heads) / hidden
    layer = hidden**2 * (heads + (3 if model.gated else 2) * model.ffn / hidden)
    return 6.0 * (layers * layer + (1 if model.tied else 2) * model.vocab * hidden)


CONVENTIONS: dict[str, Callable[[Model, int], float]] = {
    "Narayanan et al. SC21 Table 1": sc21,
    "Megatron-LM README Jan 2021": sc21,
    "NeMo long-sequence page": nemo,
    "Llama 3 paper Table 4": six_n,
}


def measured(row: Row, case: Case) -> Measurement | None:
    """Return what a step of a row took.

    Parameters
    ----------
    row : mapping of str to str
        A row of the table.
    case : Case
        The same row as a case: errata of its batch are applied there.

    Returns
    -------
    Measurement or None
        None if the row prints nothing that a step time can be read from; a FLOP rate counts only where the
        convention of its source is known.

    Raises
    ------
    UnusableError
        A printed result that is no positive number.
    """
    if (seconds := number(row, "step_time_s")) is not None:
        return Measurement(seconds=seconds, how="step time")
    if (rate := number(row, "tokens_per_s_per_gpu")) is not None:
        return Measurement(seconds=case.tokens / (rate * case.system.gpus), how="token rate")
    flops = number(row, "tflops_per_gpu")
    convention = CONVENTIONS.get(cell(row, "source"))
    if flops is None or convention is None:
        return None
    total = convention(case.model, case.seq_len) * case.tokens
    return Measurement(seconds=total / (flops * 1e12 * case.system.gpus), how="FLOP rate")
