"""How a row splits its work: degrees of parallelism, batches, layers of each virtual stage."""

import re
from typing import Any

from simulator.calibration.steps.words import Row, UnusableError, cell, count, needed
from workloads.layout import Layout
from workloads.model import Model

_HYBRID = re.compile(r"FSDP (\d+) x outer DP (\d+)")


def plain_degrees(row: Row, gpus: int, assumed: list[str]) -> dict[str, int]:
    """Return tp, pp, cp, ep and dp of a row, checked against its GPUs.

    Raises
    ------
    UnusableError
        No tensor or pipeline degree, or degrees that do not multiply to the GPUs.
    """
    tp = needed(row, "tp", "the layout cannot be known (1 if there is no tensor parallelism)")
    pp = needed(row, "pp", "the layout cannot be known (1 if there is no pipeline)")
    cp, ep = count(row, "cp", 1) or 1, count(row, "ep", 1) or 1
    if gpus % (tp * pp * cp):
        raise UnusableError(f"gpus {gpus} is no multiple of tp {tp} x pp {pp} x cp {cp}")
    dp = count(row, "dp")
    if dp is None:
        dp = gpus // (tp * pp * cp)
        assumed.append(f"dp is blank: {dp} = gpus / (tp x pp x cp)")
    if tp * pp * cp * dp != gpus:
        raise UnusableError(
            f"tp {tp} x pp {pp} x cp {cp} x dp {dp} = {tp * pp * cp * dp}, but gpus is {gpus}"
        )
    return {"tp": tp, "pp": pp, "cp": cp, "ep": ep, "dp": dp}


def batches(
    row: Row, dp: int, pp: int, known: dict[str, Any], says: dict[str, str], assumed: list[str]
) -> tuple[int, int]:
    """Return samples of a step and of a microbatch.

    Raises
    ------
    UnusableError
        No global batch, or one that does not divide into microbatches on dp ranks.
    """
    total = needed(row, "global_batch", "the work of a step cannot be known")
    micro = count(row, "micro_batch")
    if total % dp:
        raise UnusableError(f"global_batch {total} is no multiple of dp {dp}")
    if micro is None:
        micro = int(known.get("micro_batch", 1))
        if known.get("microbatches") == "pp":
            micro = max(1, total // (dp * pp))
        while (total // dp) % micro:
            micro //= 2
        source = says.get("micro_batch") or says.get("microbatches")
        assumed.append(f"micro_batch is blank: {micro}" + (f", as in {source}" if source else ""))
    if total % (dp * micro):
        raise UnusableError(f"global_batch {total} is no multiple of dp {dp} x micro_batch {micro}")
    if (steps := re.search(r"GradAccum=(\d+)", cell(row, "notes"))) and total // (dp * micro) != int(
        steps[1]
    ):
        raise UnusableError(
            f"notes say {steps[0]}, but global_batch / (dp x micro_batch) is {total // (dp * micro)}"
        )
    return total, micro


def virtual_stages(row: Row, pp: int, known: dict[str, Any], says: dict[str, str], assumed: list[str]) -> int:
    """Return the chunks of a stage; a blank is filled from the recipe and said."""
    printed = count(row, "vp")
    if pp == 1:
        return 1
    if printed is not None:
        return printed
    vpp = int(known.get("vp", 1))
    source = says.get("vp")
    assumed.append(f"vp is blank: {vpp}, " + (f"as in {source}" if source else "no interleaving"))
    return vpp


def sharding(
    row: Row, known: dict[str, Any], dp_cp: int, gpus_per_node: int, assumed: list[str]
) -> tuple[str, int]:
    """Return the strategy and the ranks that states are sharded over (0: all).

    Parameters
    ----------
    row : mapping of str to str
        Its ``zero_or_fsdp`` is read.
    known : dict
        ``strategy`` where the row does not say it.
    dp_cp : int
        Ranks that hold the same slice of the model.
    gpus_per_node : int
        What a hybrid shard group is if no size is printed.
    assumed : list of str
        Gets a sentence where the strategy is the stack's usual one.
    """
    words = cell(row, "zero_or_fsdp").lower()
    if hybrid := _HYBRID.search(cell(row, "zero_or_fsdp")):
        shard = int(hybrid[1])
        if dp_cp % shard:
            raise UnusableError(f"zero_or_fsdp: a shard group of {shard} does not divide {dp_cp} ranks")
        return ("fsdp", 0) if shard == dp_cp else ("hsdp", shard)
    if not words or "not stated" in words:
        strategy = str(known.get("strategy", "ddp"))
        assumed.append(
            f"zero_or_fsdp is {'blank' if not words else 'not stated'}: {strategy}, the usual of the stack"
        )
        shard = int(known.get("shard", 0))
        return strategy, shard if shard and dp_cp % shard == 0 else 0
    if "hsdp" in words or "hybrid_shard" in words:
        shard = gpus_per_node if dp_cp % gpus_per_node == 0 else dp_cp
        assumed.append(f"zero_or_fsdp prints no shard group: {shard}, one node")
        return ("hsdp", shard) if shard < dp_cp else ("fsdp", 0)
    for word, strategy in (
        ("not resharded", "zero2"),
        ("shard_grad_op", "zero2"),
        ("fsdp", "fsdp"),
        ("zero-3", "fsdp"),
        ("zero-2", "zero2"),
        ("zero-1", "zero1"),
        ("distributed optimizer", "zero1"),
        ("ddp", "ddp"),
    ):
        if word in words:
            return strategy, 0
    raise UnusableError(
        f"zero_or_fsdp '{words:.40}' is not understood (DDP, ZeRO-1, ZeRO-2, ZeRO-3, FSDP or HSDP)"
    )


def chunk_layers(
    model: Model, layout: Layout, known: dict[str, Any], notes: str, assumed: list[str]
) -> tuple[int, ...]:
    """Return the layers of each virtual stage in the order of the forward pass.

    Raises
    ------
    UnusableError
        Fewer layers than virtual stages.
    """
    chunks, layers = layout.pp * layout.vpp, model.layers
    if pattern := known.get("chunks"):
        found = from_megatron(str(pattern))
        if len(found) == chunks and sum(found) == layers:
            return found
    if layers % chunks == 0 and "one layer fewer" not in notes:
        return (layers // chunks,) * chunks
    if chunks > 1 and (layers + 2) % chunks == 0:
        each = (layers + 2) // chunks
        assumed.append(
            f"first and last of {chunks} chunks hold one layer less: {layers} + 2 = {chunks} x {each}"
        )
        return (each - 1, *(each,) * (chunks - 2), each - 1)
    if layers < chunks:
        raise UnusableError(f"layers {layers} are fewer than pp x vp = {chunks} virtual stages")
    more = layers % chunks
    first = [layers // chunks + (i < more) for i in range(chunks)]
    middle = sorted(first)[: (chunks - more + 1) // 2]
    spread = middle + [layers // chunks + 1] * more + [layers // chunks] * (chunks - more - len(middle))
    assumed.append(f"{layers} layers do not divide into {chunks} chunks: the outer ones hold one less")
    return tuple(spread)


def from_megatron(layout: str) -> tuple[int, ...]:
    """Return decoder layers of each chunk of a pipeline layout in Megatron's notation.

    ``E`` embedding, ``t`` decoder layer, ``m`` prediction layer, ``L`` loss, ``|`` between chunks; ``x*n``
    and ``(...)*n`` repeat.

    >>> from_megatron("Et*2|(tt|)*2tmL")
    (2, 2, 2, 1)
    """
    while group := re.search(r"\(([^()]*)\)(?:\*(\d+))?", layout):
        layout = layout.replace(group[0], group[1] * int(group[2] or 1), 1)
    layout = re.sub(r"([A-Za-z])\*(\d+)", lambda one: one[1] * int(one[2]), layout)
    return tuple(chunk.count("t") for chunk in layout.split("|"))
