"""A model on one sheet: what it weighs, computes and keeps."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from simulator.accounting import activations
from simulator.reports.tables import Column, cell, facts, lay_out
from workloads import transformer
from workloads.layers import Slice
from workloads.model import Model

LONGEST = 8192  # tokens of a sequence if nobody says; less if the model was made for less
_ABOVE = ("name", "parameters", "active_parameters", "published_total", "published_active", "verdict")


def row(model: Model) -> dict[str, Any]:
    """Return what a list shows of a model: counts from its dimensions, dimensions, where they are from."""
    return {
        "name": model.name,
        "parameters": transformer.parameters(model),
        "layers": model.layers,
        "hidden": model.hidden,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "context": model.context or None,
        "vocab": model.vocab,
        "active_parameters": transformer.active_parameters(model),
        "encoder_layers": model.encoder_layers or None,
        "experts": model.experts or None,
        "topk": model.topk or None,
        "published_total": model.published_total or None,
        "published_active": model.published_active or None,
        "verdict": model.verdict,
        "family": model.family,
        "arch": model.arch,
        "task": model.task,
        "year": model.year or None,
        "checked": model.checked,
        "source": model.source,
        "notes": model.notes,
    }


def usual_length(model: Model) -> int:
    """Return the tokens of a sequence to show a model for."""
    return min(model.context or LONGEST, LONGEST)


def sheet(model: Model, seq_len: int) -> dict[str, Any]:
    """Return the parts of a model: parameters, FLOPs, activations, cache of keys and values.

    Parameters
    ----------
    model : Model
        Dimensions.
    seq_len : int
        Tokens of a sequence; of the source too, for an encoder-decoder.

    Returns
    -------
    dict
        ``parts`` (parameters and those a token meets, by part), ``forward_flops`` (of one sequence, by part),
        ``training_flops`` (forward and backward), ``training_flops_per_token`` (6N + attention; null for an
        encoder-decoder), ``kv_bytes_per_token``, ``kv_cache_bytes`` and ``activation_bytes`` of one sequence
        in half precision on one GPU: unfused attention, a fused kernel, full recomputation.
    """
    source = seq_len if model.arch == "encdec" else 0
    forward = transformer.forward_flops(model, seq_len, source_len=source)
    return {
        "seq_len": seq_len,
        "parts": [
            {"name": p.name, "count": p.count, "parameters": p.parameters, "active": p.active}
            for p in transformer.breakdown(model)
        ],
        "mtp_parameters": transformer.mtp_parameters(model),
        "forward_flops": forward,
        "training_flops": transformer.training_flops(model, seq_len, source_len=source),
        "training_flops_per_token": None if source else transformer.flops_per_token(model, seq_len),
        "kv_bytes_per_token": transformer.kv_bytes_per_token(model),
        "kv_cache_bytes": transformer.kv_cache_bytes(model, seq_len, source_len=source),
        "activation_bytes": _activations(model, seq_len),
    }


def _activations(model: Model, seq_len: int) -> dict[str, float]:
    def held(attention: str, recompute: str) -> float:
        cut = Slice(tokens=seq_len, seq_len=seq_len, attention=attention)
        kinds = Counter((*model.encoder_kinds(), *model.layer_kinds()))
        one = activations.Held(cut=cut)
        return sum(n * activations.kept(model, kind, one, recompute=recompute) for kind, n in kinds.items())

    return {
        "unfused": held("unfused", "none"),
        "flash": held("flash", "none"),
        "full_recompute": held("flash", "full"),
    }


def lines(model: Model, found: Mapping[str, Any]) -> list[str]:
    """Return a sheet as a person reads it."""
    below = {key: found[key] for key in row(model) if key not in _ABOVE}
    below["source"] = " ".join(part for part in str(found["source"]).split() if part != ";")
    below["checked"] = "read" if found["checked"] == "read" else f"unverified ({found['checked']})"
    above = {
        "name": model.name,
        "parameters": _beside(found["parameters"], found["published_total"], model.verdict),
        "a token meets": _beside(found["active_parameters"], found["published_active"]),
    }
    said = {key: value for key, value in (above | below).items() if value not in (None, "")}
    return [*facts(said), "", *_parts(found), "", *_flops(found), "", *_memory(found)]


def _beside(counted: int, published: int | None, verdict: str = "") -> str:
    """Return a count, and how far the published one is, with the reason if it is far."""
    if not published:
        return cell(counted)
    reason = "" if verdict in ("", "ok") else f": {verdict}"
    return f"{cell(counted)}, published {cell(published)} ({counted / published - 1:+.1%}{reason})"


def _parts(found: Mapping[str, Any]) -> list[str]:
    rows = [
        {
            "part": part["name"],
            "layers": part["count"],
            "parameters": part["parameters"],
            "a token meets": part["active"],
            "share": f"{part['parameters'] / found['parameters']:.1%}",
        }
        for part in found["parts"]
    ]
    if found["mtp_parameters"]:
        rows.append({"part": "multi-token prediction, not counted", "parameters": found["mtp_parameters"]})
    return lay_out(rows, [Column(key) for key in ("part", "layers", "parameters", "a token meets", "share")])


def _flops(found: Mapping[str, Any]) -> list[str]:
    total, length = sum(found["forward_flops"].values()), found["seq_len"]
    rows = [
        {
            "forward, a token": name,
            "FLOPs": cell(value / length, "FLOP"),
            "share": f"{value / total:.1%}" if total else "-",
        }
        for name, value in found["forward_flops"].items()
    ]
    training = {"forward, a token": "training step (forward and twice backward)"}
    rows.append(training | {"FLOPs": cell(found["training_flops"] / length, "FLOP"), "share": ""})
    if (convention := found["training_flops_per_token"]) is not None:
        name = {"forward, a token": "training step by 6N + attention"}
        rows.append(name | {"FLOPs": cell(convention, "FLOP"), "share": ""})
    return [f"sequences of {length:,} tokens", *lay_out(rows, [Column(key) for key in rows[0]])]


def _memory(found: Mapping[str, Any]) -> list[str]:
    kept = found["activation_bytes"]
    rows = {
        "activations, unfused attention": cell(kept["unfused"], "B"),
        "activations, flash attention": cell(kept["flash"], "B"),
        "activations, full recomputation": cell(kept["full_recompute"], "B"),
        "keys and values, one token": cell(found["kv_bytes_per_token"], "B"),
        "keys and values, a sequence": cell(found["kv_cache_bytes"], "B"),
    }
    return ["one sequence in half precision on one GPU", *facts(rows)]
