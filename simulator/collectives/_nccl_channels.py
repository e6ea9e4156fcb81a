"""How NCCL spreads one operation over channels, and the chunks that each channel walks in."""

import math
from dataclasses import dataclass

from simulator.collectives._nccl_case import Case

_KIB = 1024
_CELL = 32 * _KIB  # traffic that a cell of data stands for, and the least that is worth dividing
_THREADS = {"LL": 512, "LL128": 640, "Simple": 512}
_THREADS_OTHERS = 640  # NVLS, collnet and PAT
_THRESHOLD = {"LL": 8, "LL128": 8, "Simple": 64}  # bytes a thread
_COLLNET_THRESHOLD = 512
_STEP = {"LL": 32 * _KIB, "LL128": 576_000, "Simple": 512 * _KIB}  # data in one of the eight slots of a FIFO
_LL128_GRAIN = 1920
_RING_STEPS = {"LL": 1, "LL128": 1, "Simple": 4}  # FIFO steps in a ring's chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One operation cut over channels.

    Parameters
    ----------
    channels : int
        Channels that carry data.
    threads : int
        Of each channel's block, without helper warps.
    bytes_per_channel : int
        Region of a full channel, bytes; of the per-rank buffer for all_gather and reduce_scatter.
    chunk : int
        Bytes of one chunk, as the first loop runs it.
    loops : int
        Times that a full channel walks through its algorithm.
    """

    channels: int
    threads: int
    bytes_per_channel: int
    chunk: int
    loops: int


def _up(value: float, grain: int = 16) -> int:
    return math.ceil(value / grain) * grain


def launch(case: Case, algorithm: str, protocol: str, size: int) -> tuple[int, int]:
    """Return channels and threads that an operation starts with.

    Parameters
    ----------
    case : Case
        What is run.
    algorithm, protocol : str
        How.
    size : int
        Bytes as NCCL counts them.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/enqueue.cc.
    """
    if algorithm.startswith("nvls"):
        return case.graphs.nvls_channels, _THREADS_OTHERS
    ring = case.graphs.ring
    plain = algorithm in ("ring", "tree")
    threads = _THREADS[protocol] if plain else _THREADS_OTHERS
    if (algorithm, protocol) == ("ring", "Simple") and ring.intra * ring.channels <= 12e9:
        threads = 256
    threshold = _COLLNET_THRESHOLD if algorithm.startswith("collnet") else _THRESHOLD[protocol]
    if (algorithm, protocol) == ("ring", "LL"):
        threshold *= case.machine.ranks
    channels = max(1, min(case.graphs.channels, size // (threads * threshold)))
    while size < channels * threads * threshold and threads % 128 == 0:
        threads //= 2
    return channels, threads


def plan(case: Case, algorithm: str, protocol: str, size: int) -> Plan:
    """Return how one operation is cut: channels, bytes a channel, chunk and loops.

    Parameters
    ----------
    case : Case
        What is run.
    algorithm, protocol : str
        How.
    size : int
        Bytes as nccl-tests counts them, more than 0.

    Raises
    ------
    ValueError
        No bytes, or collnet, whose chunk rule is not known here.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/enqueue.cc, src/include/device.h.
    """
    if size <= 0:
        raise ValueError(f"an operation of {size} bytes is not cut over channels")
    if algorithm.startswith("collnet"):
        raise ValueError("the chunks of collnet are not modelled")
    started, threads = launch(case, algorithm, protocol, size)
    region = math.ceil(size / case.machine.ranks) if case.moves else size
    channels, share = _DISTRIBUTIONS[case.table.distribution](case, protocol, region, started)
    step = _STEP[protocol]
    parts = 1
    if algorithm == "ring":
        step *= _RING_STEPS[protocol] if case.op not in ("broadcast", "reduce") else 1
        parts = case.machine.ranks if case.op == "all_reduce" else 1
    elif algorithm.startswith("nvls"):
        nvls = case.graph(algorithm)
        parts = nvls.channels if nvls is not None else 1
        step = _nvls_chunk(case, algorithm, share * (case.machine.ranks if case.moves else 1), parts)
    elif algorithm == "tree":
        step = _tree_chunk(case, protocol, share, size / started)
    else:
        step = _pat_chunk(case, size, started)
    chunk = min(step, _up(share / parts))
    return Plan(
        channels=channels,
        threads=threads,
        bytes_per_channel=share,
        chunk=chunk,
        loops=math.ceil(share / (chunk * parts)),
    )


def _evenly(_case: Case, _protocol: str, region: int, started: int) -> tuple[int, int]:
    return started, _up(region / started)


def _in_cells(case: Case, protocol: str, region: int, started: int) -> tuple[int, int]:
    traffic = 2 if case.op == "all_reduce" else case.machine.ranks if case.moves else 1
    traffic *= 4 if protocol == "LL" else 1
    cell = _up(_CELL / traffic)
    target = _up(max(_CELL, region * traffic) / started)
    each = math.ceil(target / (cell * traffic))
    cells = math.ceil(region / cell)
    return math.ceil(cells / each), min(each * cell, region)


_DISTRIBUTIONS = {"even": _evenly, "cells": _in_cells}


def _halved(chunk: float, data: float, rules: list[tuple[float, int]]) -> float:
    """Halve a chunk while there are fewer than so many in the data and it is above a floor, rule by rule."""
    for fewer, floor in rules:
        while data / chunk < fewer and chunk > floor:
            chunk /= 2
    return chunk


def _tree_chunk(case: Case, protocol: str, share: int, started_share: float) -> int:
    machine = case.machine
    local, log_nodes = machine.gpus_per_node, int(math.log2(machine.nodes))
    if protocol == "LL128":
        depth = (1 + log_nodes + 0.1 * local) / local
        chunk = _halved(_STEP["LL128"], share, [(64 * depth, 131_072), (16 * depth, 32_768)])
        return int(chunk) // _LL128_GRAIN * _LL128_GRAIN
    if protocol == "Simple" and case.table.tree_simple_chunk == "by_depth":
        hops = local - 1 + log_nodes
        rules = [(8.0 * hops, 128 * _KIB), (4.0 * hops, 64 * _KIB), (1.0 * hops, 32 * _KIB)]
        return int(_halved(_STEP["Simple"], started_share, rules))
    return _STEP[protocol]


def _nvls_chunk(case: Case, algorithm: str, share: float, heads: int) -> int:
    start = 128 * _KIB
    ladder = [(64, 64), (8, 32), (2, 16)]
    if algorithm == "nvls_tree":
        ladder = [(16, 128), (4, 64), (1, 32)]
        if case.machine.nodes >= 4 and case.machine.compute_capability < 100:
            start = 64 * _KIB
    for fewer, size in ladder:
        if start > size * _KIB and share < fewer * heads * start:
            start = size * _KIB
    return start


def _pat_chunk(case: Case, size: int, started: int) -> int:
    factor = 32 if case.op == "all_gather" else 16
    chunk = _STEP["Simple"]
    while factor * chunk * started > size and chunk > 64 * _KIB:
        chunk //= 2
    return chunk
