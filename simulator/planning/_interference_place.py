"""Which GPUs the jobs of one fabric sit on: packed, striped over leaves, or where the user says."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import zip_longest

import networkx as nx

from simulator.engine.fabric import LARGEST, is_file, load
from simulator.errors import InfeasibleError, UsageError
from simulator.planning._interference_check import of_fabric
from simulator.planning._interference_read import Asked, Tenancy
from topologies._graph import gpu_nodes

Machines = Mapping[Hashable, Sequence[int]]  # GPUs of each, in order


def fabric_of(tenancy: Tenancy) -> nx.DiGraph:
    """Return the graph that all jobs sit on; a fabric that grows gets as many GPUs as they need.

    Raises
    ------
    UsageError
        No such fabric, or one that cannot have so many GPUs.
    InputError
        A file that is wrong in itself, or that names no such fabric.
    """
    try:
        return _grown(tenancy)
    except UsageError as error:
        raise of_fabric(tenancy, error) from None


def _grown(tenancy: Tenancy) -> nx.DiGraph:
    if tenancy.gpus is not None:
        return load(tenancy.fabric, tenancy.gpus)[0]
    usual = load(tenancy.fabric, None)[0]
    grows = not is_file(tenancy.fabric) or tenancy.fabric.endswith(".toml")
    if not grows:
        return usual
    jobs = tenancy.jobs
    needed = max(sum(job.gpus for job in jobs), *map(_highest, jobs))
    if needed <= LARGEST:
        needed = _needed(jobs, max(map(len, machines(usual).values())))
    if is_file(tenancy.fabric) and needed <= len(gpu_nodes(usual)):
        return usual
    return load(tenancy.fabric, needed)[0]


def machines(graph: nx.DiGraph) -> dict[Hashable, list[int]]:
    """Return the GPUs of each machine by number; a GPU that is in none is one of its own."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for number, gpu in enumerate(gpu_nodes(graph)):
        host = graph.nodes[gpu].get("host")
        found["alone", number if host is None else "", host].append(number)
    return dict(found)


def _needed(jobs: Sequence[Asked], per_node: int) -> int:
    """Return how many GPUs hold all jobs, in whole machines where one machine is not enough."""
    most = 2 * (sum(job.gpus + per_node for job in jobs) + max(_highest(job) for job in jobs) + 1)
    rooms: dict[Hashable, list[int]] = {at: list(range(at, at + per_node)) for at in range(0, most, per_node)}
    found = _seated(jobs, rooms, rooms)
    highest = 1 + max(gpu for seats in found.values() for gpu in seats)
    return highest if highest <= per_node else -(-highest // per_node) * per_node


def _highest(job: Asked) -> int:
    """Return how many GPUs there must be for those that the file names."""
    return max(job.first + job.gpus if job.first >= 0 else 0, 1 + max(job.seats, default=-1))


def seated(jobs: Sequence[Asked], graph: nx.DiGraph) -> dict[str, tuple[int, ...]]:
    """Return the GPU of each rank of each job by name.

    First come jobs whose GPUs the file names, then the others in the order of their names; a job takes machines
    that have room for the ranks which belong on one machine.

    Raises
    ------
    UsageError
        A GPU that is not there, or that two jobs would sit on.
    InfeasibleError
        No room.
    """
    rooms = machines(graph)
    there = len(gpu_nodes(graph))
    for job in jobs:
        if _highest(job) > there:
            raise UsageError(
                f"job '{job.name}' sits on GPU {_highest(job) - 1}, the fabric has 0 to {there - 1}",
                where="gpus_at",
                hint="--gpus N for a larger fabric",
            )
    return _seated(jobs, rooms, _striped(graph, rooms))


def _seated(jobs: Sequence[Asked], rooms: Machines, striped: Machines) -> dict[str, tuple[int, ...]]:
    free = {gpu for members in rooms.values() for gpu in members}
    whole = len(free)
    owner: dict[int, str] = {}
    found: dict[str, tuple[int, ...]] = {}
    named = [job for job in jobs if _named(job)]
    for job in [*named, *sorted((job for job in jobs if not _named(job)), key=lambda job: job.name)]:
        if _named(job):
            seats = job.seats or tuple(range(job.first, job.first + job.gpus))
        else:
            open_ = {gpu for gpu in free if gpu >= job.first}
            seats = _room(job, striped if job.placement == "striped" else rooms, open_, whole)
        for gpu in seats:
            if gpu in owner:
                raise UsageError(
                    f"jobs '{owner[gpu]}' and '{job.name}' both sit on GPU {gpu}", where="gpus_at"
                )
            owner[gpu] = job.name
        free -= set(seats)
        found[job.name] = seats
    return found


def _named(job: Asked) -> bool:
    """Tell whether the file says which GPUs a job has."""
    return bool(job.seats) or (job.first >= 0 and job.placement == "packed")


def _room(job: Asked, rooms: Machines, free: set[int], whole: int) -> tuple[int, ...]:
    """Return free GPUs, as many of each machine as belong on one."""
    per_node = max(map(len, rooms.values()))
    seats: list[int] = []
    for members in rooms.values():
        block = min(per_node, job.gpus - len(seats))
        inside = [gpu for gpu in members if gpu in free]
        if block and len(inside) >= block:
            seats += inside[:block]
    if len(seats) < job.gpus:
        raise InfeasibleError(
            f"job '{job.name}' needs {job.gpus} GPUs, {per_node} a machine: of {whole} there "
            f"are {len(free)} free, {len(seats)} of them in machines with room",
            where="gpus",
            hint="--gpus N for a larger fabric",
        )
    return tuple(seats)


def _striped(graph: nx.DiGraph, rooms: Machines) -> dict[Hashable, Sequence[int]]:
    """Return the machines one leaf after another: the first of each, then the second of each."""
    gpus = gpu_nodes(graph)
    hosts = {gpus[number]: room for room, members in rooms.items() for number in members}
    by_host = {graph.nodes[gpu].get("host"): room for gpu, room in hosts.items()}
    outside: dict[Hashable, set[Hashable]] = {room: set() for room in rooms}
    for tail, head in graph.edges:
        host = graph.nodes[tail].get("host")
        room = hosts.get(tail, by_host.get(host) if host is not None else None)
        beyond = graph.nodes[head].get("host") is None and head[0] != "gpu"
        if room is not None and beyond:
            outside[room].add(head)
    leaves: dict[frozenset[Hashable], list[Hashable]] = defaultdict(list)
    for room, switches in outside.items():
        leaves[frozenset(switches)].append(room)
    order = [room for row in zip_longest(*leaves.values()) for room in row if room is not None]
    return {room: rooms[room] for room in order}


def in_machines(seats: Sequence[int], rooms: Iterable[Sequence[int]], per_node: int) -> bool:
    """Tell whether ranks fill machines in order: what collectives inside a machine are priced for."""
    room_of = {gpu: at for at, members in enumerate(rooms) for gpu in members}
    blocks = [
        {room_of[gpu] for gpu in seats[first : first + per_node]} for first in range(0, len(seats), per_node)
    ]
    return all(len(block) == 1 for block in blocks) and len(set().union(*blocks)) == len(blocks)
