"""Pipeline parallelism: which layers a stage holds, and what passes between neighbours.

Narayanan et al., SC21, arXiv:2104.04473, section 4.1: with tensor parallelism each rank sends its 1/t of the
activations, and the receiving node gathers them.
"""

from collections.abc import Sequence

from workloads.layers import Slice
from workloads.step_graph import Boundary


def boundary(cut: Slice, hidden: int, *, sliced: bool = True, overlap: bool = False) -> Boundary:
    """Return what one rank sends to its peer: T h elements, 1/tp of them where ranks share the work.

    With sequence parallelism a rank has no more than its slice.
    """
    share = cut.tp if sliced or cut.sequence_parallel else 1
    return Boundary(size=cut.element * cut.tokens * hidden / share, blocking=not overlap)


def split(
    layers: int, stages: int, chunks: int = 1, given: Sequence[int] = (), *, way: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the layers of each virtual stage in the order of the forward pass.

    Parameters
    ----------
    layers, stages, chunks : int
        Layers in all, stages, virtual stages of each.
    given : sequence of int
        Layers of each stage, or of each virtual stage; equal shares if left out.
    way : sequence of int
        The stage of each virtual stage; left out, down the stages once for each chunk.

    Raises
    ------
    ValueError
        Layers that do not divide, or given ones that do not add up; the message proposes some that do.
    """
    places = stages * chunks
    if not given:
        if layers % places:
            what = f"{stages} stages" + (f" of {chunks} chunks" if chunks > 1 else "")
            raise ValueError(
                f"{layers} layers do not divide over {what}; try: --stage-layers "
                + ",".join(map(str, _even(layers, stages)))
            )
        return (layers // places,) * places
    if sum(given) != layers or min(given) < 0 or len(given) not in (stages, places):
        raise ValueError(
            f"--stage-layers {','.join(map(str, given))}: wanted {stages} numbers that add up to {layers}; "
            "try: " + ",".join(map(str, _even(layers, stages)))
        )
    if len(given) == places:
        return tuple(given)
    shares = [iter(_even(whole, chunks)) for whole in given]
    return tuple(next(shares[stage]) for stage in way or [place % stages for place in range(places)])


def _even(layers: int, stages: int) -> list[int]:
    """Return shares as equal as can be, the ends lighter: they hold the embedding and the head."""
    base, rest = divmod(layers, stages)
    inner_first = sorted(range(stages), key=lambda stage: min(stage, stages - 1 - stage), reverse=True)
    more = set(inner_first[:rest])
    return [base + (stage in more) for stage in range(stages)]
