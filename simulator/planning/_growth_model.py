r"""A model made larger as published families are: width and depth together, heads and feed-forward with the width.

Parameters of a transformer grow as layers times width squared, so that both grow as :math:`N^{1/3}` and width over
layers stays, but for the rounding to whole groups of heads. That ratio matters little for the loss [1]_, and
families keep it: Llama 3 has 128, 102 and 130 at 8, 70 and 405 billion parameters [2]_. Size of a head, groups of
keys and values, experts, vocabulary and context stay.

References
----------
.. [1] Kaplan et al., arXiv:2001.08361, section 3.1.
.. [2] Grattafiori et al., arXiv:2407.21783, table 3.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from math import lcm
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from simulator.errors import UsageError
from workloads._parameters import active_parameters, parameters
from workloads.model import Model

WHOLE = 256  # widths of feed-forward layers are multiples, as matrix units like them
_NOTES = ("name", "source", "notes", "checked", "verdict", "year", "task", "family")
_COUNTED = ("published_total", "published_active", "counted_total", "counted_active")


def grown(model: Model, times: float, *, layers: int = 1, heads: int = 1) -> Model:
    """Return a model with about so many times the parameters.

    Parameters
    ----------
    model : Model
        The start.
    times : float
        Parameters over those of the start; 1: itself.
    layers, heads : int
        What its layers and its heads must be multiples of.

    Raises
    ------
    UsageError
        A model of which nobody says how it grows: a vision tower, state-space layers, an encoder beside the decoder.
    """
    if model.vision is not None or model.mamba is not None or model.encoder_layers or not model.hidden:
        raise UsageError(
            f"--model {model.name}: only decoders and encoders of plain layers are grown",
            where="--model",
            hint="--model llama3-70b",
        )
    if times == 1:
        return model
    groups = 1 if model.kv_heads == model.heads else model.kv_heads
    count = _multiple(model.heads * times ** (1 / 3), lcm(heads, groups))
    # depth makes up for what whole groups of heads left over, so that the size is met more closely
    deep = _multiple(model.layers * times * (model.heads / count) ** 2, layers)
    hidden = round(model.hidden * count / model.heads)
    widths = {
        name: _multiple(getattr(model, name) * hidden / model.hidden, WHOLE)
        for name in ("ffn", "expert_ffn", "shared_ffn", "moe_latent")
        if getattr(model, name)
    }
    return model.replace(
        name=f"{model.name}-x{times:.4g}",
        layers=deep,
        hidden=hidden,
        heads=count,
        kv_heads=count if model.kv_heads == model.heads else model.kv_heads,
        source=f"{model.name} grown",
        checked="",
        verdict="",
        **widths,
        **dict.fromkeys(_COUNTED, 0),
    )


def sizes(model: Model) -> tuple[int, int]:
    """Return all parameters and those that a token uses."""
    return int(parameters(model)), int(active_parameters(model))


@contextmanager
def as_files() -> Iterator[Any]:
    """Yield what writes a model to a file that ``--model`` takes; the files are gone afterwards."""
    with TemporaryDirectory() as folder:

        def write(model: Model) -> str:
            path = Path(folder) / f"{model.name}.toml"
            path.write_text("\n".join(_lines(model)), encoding="utf-8")
            return str(path)

        yield write


def _lines(model: Model) -> Iterator[str]:
    yield f'["{model.name}"]'
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if field.name in _NOTES or field.name in _COUNTED or value == field.default:
            continue
        text = str(value).lower() if isinstance(value, bool) else value
        yield f'{field.name} = "{text}"' if isinstance(value, str) else f"{field.name} = {text}"


def _multiple(value: float, of: int) -> int:
    return max(of, round(value / of) * of)
