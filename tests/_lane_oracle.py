"""What lanes do, message by message, on the plain solver: the independent oracle of all that is fast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.network.flows import replay
from simulator.network.lanes import Lanes
from simulator.network.traffic import Flow, Link

Message = tuple[int, int]  # lane, number in the lane from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """When each lane ends, s; when each message ends, s; bytes that each link carried."""

    finish: NDArray[np.float64]
    messages: dict[Message, float]
    carried: NDArray[np.float64]


def expand(lanes: Lanes) -> tuple[list[Flow], list[list[Message]]]:
    """Return every message as a flow, and the ids of the flows of each lane in the order they are sent."""
    flows: list[Flow] = []
    ids: list[list[Message]] = []
    for lane in range(len(lanes.programme)):
        sent = _messages(lanes, lane)
        flows += sent
        ids.append([flow.id for flow in sent])
    return flows, ids


def network(lanes: Lanes) -> dict[int, Link]:
    """Return the links by number; latency is part of the delays of lanes."""
    return {number: Link(float(bandwidth)) for number, bandwidth in enumerate(lanes.bandwidth)}


def truth(lanes: Lanes) -> Truth:
    """Return what the plain solver says of all messages.

    Raises
    ------
    ValueError
        For gates on messages that are never sent, and for lanes that wait for each other in a circle.
    """
    flows, ids = expand(lanes)
    links = network(lanes)
    ran = replay(links, flows, solver="plain")
    return Truth(
        finish=np.array([ran.finish[own[-1]] for own in ids], float),
        messages={flow.id: ran.finish[flow.id] for flow in flows},
        carried=np.array([ran.carried[number] for number in links], float),
    )


def _messages(lanes: Lanes, lane: int) -> list[Flow]:
    book = lanes.programmes
    programme = lanes.programme[lane]
    flows: list[Flow] = []
    for phase in range(book.start[programme], book.start[programme + 1]):
        for k in range(book.count[phase]):
            route, weights = _route(lanes, lane, int(book.slot[phase] + book.slot_stride[phase] * k))
            size = float(book.size[phase])
            flows.append(
                Flow(
                    id=(lane, len(flows)),
                    route=route if size else (),
                    size=size,
                    after=tuple(_before(lanes, lane, len(flows), phase, k)),
                    delay=float(book.delay[phase]),
                    latency=0.0,
                    weights=weights if size else None,
                )
            )
    return flows


def _before(lanes: Lanes, lane: int, sent: int, phase: int, k: int) -> list[Message]:
    """Return what a message waits for: the lane's own one before it, and the n-th of each partner, from 1."""
    book = lanes.programmes
    waits = [(lane, sent - 1)] if sent else []
    for gate in range(book.gate_start[phase], book.gate_start[phase + 1]):
        wanted = int(book.gate_base[gate] + book.gate_stride[gate] * k)
        if wanted > 0:
            partner = int(lanes.partners[lanes.partner_start[lane] + book.gate_partner[gate]])
            waits.append((partner, wanted - 1))
    return waits


def _route(lanes: Lanes, lane: int, slot: int) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    if slot < 0:
        return (), None
    route = lanes.slots[lanes.slot_start[lane] + slot]
    crossed = slice(lanes.route_start[route], lanes.route_start[route + 1])
    weights = None if lanes.weights is None else tuple(lanes.weights[crossed].tolist())
    return tuple(lanes.links[crossed].tolist()), weights
