"""Which rank does what: degrees of parallelism, the order of their axes, and the groups that talk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

AXES = ("tp", "cp", "dp", "pp")  # neighbours first: Megatron's order
GROUPS = ("tp", "cp", "dp", "pp", "dp_cp", "ep", "edp", "etp", "shard", "replicate", "embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a group lies on the nodes: ranks in all, nodes it touches, ranks on each of them."""

    ranks: int
    nodes: int

    @property
    def per_node(self) -> float:
        """Return the ranks on one node, the mean where they differ."""
        return self.ranks / self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of parallelism; GPUs = tp x cp x dp x pp.

    Parameters
    ----------
    tp, cp, dp, pp : int
        Tensor, context, data, pipeline.
    ep, etp : int
        Experts are spread over ep ranks and each is sliced over etp (as tp if 0). They divide what a stage has:
        tp x cp x dp = etp x ep x edp. With etp = tp this says that EP divides DP x CP.
    shard : int
        Ranks of dp x cp that parameters or optimizer states are sharded over; 0: all of them.
    vpp : int
        Chunks of a stage.
    order : tuple of str
        Axes from the one whose ranks are neighbours to the outermost.

    Raises
    ------
    ValueError
        A degree below 1, an order that is none, expert or shard groups that do not divide.

    References
    ----------
    .. [1] Narayanan et al., SC21, arXiv:2104.04473: tensor parallel ranks inside the node, pipeline outermost.
    """

    tp: int = 1
    cp: int = 1
    dp: int = 1
    pp: int = 1
    ep: int = 1
    etp: int = 0
    shard: int = 0
    vpp: int = 1
    order: tuple[str, ...] = AXES

    def __post_init__(self) -> None:
        for name in ("tp", "cp", "dp", "pp", "ep", "vpp"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: must be 1 or more")
        if sorted(self.order) != sorted(AXES):
            raise ValueError(f"--order {'-'.join(self.order)}: must name each of {', '.join(AXES)} once")
        inside = self.tp * self.cp * self.dp
        if inside % (self.ep * self.expert_tp):
            axes = "dp x cp" if self.expert_tp == self.tp else "tp x cp x dp / etp"
            have = inside // self.expert_tp
            raise ValueError(f"--ep {self.ep}: must divide {axes} = {have}")
        if self.shard and (self.dp * self.cp) % self.shard:
            raise ValueError(f"a shard group of {self.shard} does not divide dp x cp = {self.dp * self.cp}")

    @property
    def world(self) -> int:
        """Return how many GPUs there are."""
        return self.tp * self.cp * self.dp * self.pp

    @property
    def expert_tp(self) -> int:
        """Return over how many ranks one expert is sliced."""
        return self.etp or self.tp

    def size(self, axis: str) -> int:
        """Return the ranks of a group of an axis of `GROUPS`."""
        stage = self.tp * self.cp * self.dp
        shard = self.shard or self.dp * self.cp
        sizes = {
            "tp": self.tp,
            "cp": self.cp,
            "dp": self.dp,
            "pp": self.pp,
            "dp_cp": self.dp * self.cp,
            "ep": self.ep,
            "etp": self.expert_tp,
            "edp": stage // (self.ep * self.expert_tp),
            "shard": shard,
            "replicate": self.dp * self.cp // shard,
            "embedding": min(2, self.pp),
        }
        return sizes[axis]

    def rank(self, **place: int) -> int:
        """Return the rank at a place, e.g. ``rank(tp=1, pp=2)``; what is left out is 0."""
        number, stride = 0, 1
        for axis in self.order:
            number += stride * place.get(axis, 0)
            stride *= getattr(self, axis)
        return number

    def stage_ranks(self, stage: int) -> list[int]:
        """Return the ranks of a stage: tp runs fastest, then cp, then dp, whatever the order on the machine."""
        first, strides = self.rank(pp=stage), [self.rank(**{axis: 1}) for axis in ("tp", "cp", "dp")]
        tp, cp, dp = (
            [stride * place for place in range(degree)]
            for stride, degree in zip(strides, (self.tp, self.cp, self.dp), strict=True)
        )
        return [first + d + c + t for d in dp for c in cp for t in tp]

    def groups(self, axis: str, stage: int = 0) -> list[list[int]]:
        """Return all groups of an axis among the ranks of one stage, each in the order of its ring.

        Parameters
        ----------
        axis : str
            One of `GROUPS`. For ``pp`` and ``embedding`` the stage does not matter.
        stage : int
            Pipeline rank.
        """
        if axis in ("pp", "embedding"):
            inside = range(self.tp * self.cp * self.dp)
            stages = [self.stage_ranks(s) for s in range(self.pp)]
            chosen = range(self.pp) if axis == "pp" else sorted({0, self.pp - 1})
            return [[stages[s][i] for s in chosen] for i in inside]
        ranks = self.stage_ranks(stage)
        tp, cp, dp = self.tp, self.cp, self.dp
        shard = self.size("shard")
        # as (size of the group, stride between its members) in the numbering of the stage; what is left follows
        size, stride = {
            "tp": (tp, 1),
            "cp": (cp, tp),
            "dp": (dp, tp * cp),
            "dp_cp": (dp * cp, tp),
            "etp": (self.expert_tp, 1),
            "ep": (self.ep, self.expert_tp),
            "edp": (self.size("edp"), self.expert_tp * self.ep),
            "shard": (shard, tp),
            "replicate": (self.size("replicate"), tp * shard),
        }[axis]
        span = size * stride
        return [
            [ranks[start + base + stride * i] for i in range(size)]
            for start in range(0, len(ranks), span)
            for base in range(stride)
        ]

    def shape(self, axis: str, gpus_per_node: int, stage: int = 0) -> Shape:
        """Return how the first group of an axis lies on nodes of that many GPUs."""
        return _shape(self, axis, gpus_per_node, stage)

    def crosses(self, first: int, second: int, gpus_per_node: int) -> bool:
        """Tell whether any rank of one stage has its peer of another one on another node."""
        pairs = zip(self.stage_ranks(first), self.stage_ranks(second), strict=True)
        return any(a // gpus_per_node != b // gpus_per_node for a, b in pairs)


@lru_cache(maxsize=4096)
def _shape(layout: Layout, axis: str, gpus_per_node: int, stage: int) -> Shape:
    group = layout.groups(axis, stage)[0]
    return Shape(ranks=len(group), nodes=len({rank // gpus_per_node for rank in group}))


def degrees(gpus: int, *, tp: int = 1, cp: int = 1, pp: int = 1, dp: int = 0) -> int:
    """Return dp so that tp x cp x dp x pp = gpus; checked if given.

    Raises
    ------
    ValueError
        If they do not multiply to the GPUs; the message names degrees and counts that do.
    """
    model = tp * cp * pp
    product = f"tp {tp} x pp {pp} x cp {cp} x dp {dp or 'n'}"
    if min(tp, cp, pp) < 1 or dp < 0:
        raise ValueError(f"{product}: every degree must be 1 or more")
    if gpus % model or (dp and dp != gpus // model):
        raise ValueError(f"{gpus} GPUs cannot be {product}{_ways_out(gpus, tp, cp, pp, dp)}")
    return gpus // model


def _ways_out(gpus: int, tp: int, cp: int, pp: int, dp: int) -> str:
    if gpus % (tp * cp * pp) == 0:
        return f"; try: --dp {gpus // (tp * cp * pp)}"
    others = sorted(
        (p for p in range(1, gpus + 1) if gpus % (tp * cp * p) == 0), key=lambda p: (abs(p - pp), p)
    )
    near = [f"--pp {p} (dp {gpus // (tp * cp * p)})" for p in others[:2]]
    step = prod((tp, cp, pp, dp or 1))
    counts = [str(step * n) for n in (gpus // step, gpus // step + 1) if n]
    return "; try: " + " or ".join([*near, "--gpus " + ", ".join(counts)])


def label(layout: Layout) -> str:
    """Return a plan's short name: ``tp8 pp4 dp16``; axes of degree 1 are left out."""
    named: Sequence[tuple[str, int]] = [
        ("tp", layout.tp),
        ("pp", layout.pp),
        ("vpp", layout.vpp),
        ("cp", layout.cp),
        ("ep", layout.ep),
        ("dp", layout.dp),
    ]
    return " ".join(f"{name}{degree}" for name, degree in named if degree > 1) or "dp1"
