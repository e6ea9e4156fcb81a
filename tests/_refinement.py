"""Colour refinement of lanes from its definition, sharing no code with folding."""

from collections import Counter

import numpy as np


def by_definition(lanes, hint):
    """Return the coarsest equitable partition within the hint, as sets of lanes and of crossed links."""
    does = [what(lanes, lane) for lane in range(len(lanes.programme))]
    crossed = {link for _, _, uses in does for pulls in uses.values() for link, _ in pulls}
    colour = [(phases, hint[lane]) for lane, (phases, _, _) in enumerate(does)]
    many = 0
    while len(set(colour)) > many:
        many = len(set(colour))
        names = {name: number for number, name in enumerate(dict.fromkeys(colour))}
        colour = [names[name] for name in colour]
        seen = {link: Counter() for link in crossed}
        for lane, (_, _, uses) in enumerate(does):
            for slot, pulls in uses.items():
                for link, weight in pulls:
                    seen[link][colour[lane], slot, weight] += 1
        links = {link: (lanes.bandwidth[link], frozenset(seen[link].items())) for link in crossed}
        colour = [
            (
                colour[lane],
                frozenset(Counter((gate, colour[partner]) for gate, partner in gates).items()),
                frozenset(
                    (slot, frozenset(Counter(links[link] for link, _ in pulls).items()))
                    for slot, pulls in uses.items()
                ),
            )
            for lane, (_, gates, uses) in enumerate(does)
        ]
    return classes(enumerate(colour)), classes(links.items() if crossed else ())


def what(lanes, lane):
    """Return the phases of a lane, its gates with partners, and what each of its slots crosses."""
    book, phases, gates, uses = lanes.programmes, [], [], {}
    begin, end = book.start[lanes.programme[lane] :][:2]
    for phase in range(begin, end):
        sends, count = book.size[phase] > 0, book.count[phase]
        stride = book.slot_stride[phase] if sends and count > 1 else 0
        first = book.slot[phase] if sends else None
        for slot in {first + stride * k for k in range(count)} if sends else ():
            route = lanes.slots[lanes.slot_start[lane] + slot]
            crossed = range(lanes.route_start[route], lanes.route_start[route + 1])
            weights = np.ones(len(lanes.links)) if lanes.weights is None else lanes.weights
            uses[slot] = [(lanes.links[c], weights[c]) for c in crossed]
        phases.append((count, book.size[phase], book.delay[phase], first, stride))
        for gate in range(book.gate_start[phase], book.gate_start[phase + 1]):
            base, step = book.gate_base[gate], book.gate_stride[gate] if count > 1 else 0
            if max(base, base + step * (count - 1)) > 0:
                partner = lanes.partners[lanes.partner_start[lane] + book.gate_partner[gate]]
                gates.append(((phase - begin, base, step), partner))
    low = min(uses, default=0)
    return (
        tuple((*rest, first if first is None else first - low, stride) for *rest, first, stride in phases),
        gates,
        {slot - low: pulls for slot, pulls in uses.items()},
    )


def classes(pairs):
    found = {}
    for member, colour in pairs:
        found.setdefault(colour, set()).add(int(member))
    return {frozenset(members) for members in found.values()}
