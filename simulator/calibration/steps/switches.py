"""Effects that can be switched off, to see what each is worth: values held, or runs told apart less."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from simulator.calibration.steps.case import Case
from simulator.calibration.steps.fitting import Floats, Priors

NOTHING = 1e-9  # a factor by which a price vanishes, which leaves its logarithm finite
ENDLESS = 1e9  # a rate at which work takes no time


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One effect.

    Parameters
    ----------
    says : str
        What the laws do without it.
    values : mapping
        Name to the number that takes its place and that of all names which go on from it, or to another
        value's name.
    case : callable, optional
        What a run is taken for instead.
    """

    says: str
    values: Mapping[str, float | str] = field(default_factory=dict)
    case: Callable[[Case], Case] | None = None

    def off(self, prior: Priors) -> "Without":
        """Return the priors of a profile without the effect.

        Raises
        ------
        ValueError
            A name that the profile does not know.
        """
        names = {*prior.names, *prior.fixed}
        changes: dict[str, float | str] = {}
        for name, value in self.values.items():
            found = {one for one in names if f"{one}.".startswith(f"{name}.")}
            parts = name.split(".")
            begun = any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1))
            if not (found or begun) or (isinstance(value, str) and value not in names):
                raise ValueError(f"the profile knows no value '{name}' to do without")
            changes |= dict.fromkeys([*sorted(found), name], value)
        return Without(prior.fixed, prior.names, prior.mean, prior.spread, changes)


@dataclass(frozen=True, slots=True)
class Without(Priors):
    """Priors of a profile in which some values do not move."""

    changes: Mapping[str, float | str]

    def profile(self, logs: Floats) -> dict[str, float]:
        """Return the profile of some logarithms."""
        found = Priors.profile(self, logs)
        held = {name: found[to] if isinstance(to, str) else to for name, to in self.changes.items()}
        return found | held


def _no_recompute(case: Case) -> Case:
    return replace(case, recompute="none", recompute_modules=(), recompute_layers=0)


def _whole_stages(case: Case) -> Case:
    if case.layout.vpp == 1:
        return case
    schedule = "1f1b" if case.schedule == "interleaved" else case.schedule
    at = replace(case.layout, vpp=1)
    return replace(case, layout=at, chunk_layers=case.stage_layers, schedule=schedule)


def _no_bubble(case: Case) -> Case:
    return replace(_whole_stages(case), schedule="zb_h2") if case.layout.pp > 1 else case


def _not_packed(case: Case) -> Case:
    return replace(case, packed=False)


def _no_date(case: Case) -> Case:
    return replace(case, stack=replace(case.stack, released=0.0))


def _all_narrow(case: Case) -> Case:
    return replace(case, stack=replace(case.stack, wide_layers=0))


def _usual_power(case: Case) -> Case:
    return replace(case, system=replace(case.system, power=0.0, memory_bandwidth=0.0))


SWITCHES: Mapping[str, Switch] = {
    "rate of each precision": Switch(
        says="FP8 and FP4 reach the same share of their peak as BF16",
        values={
            "gemm.share.hopper": "gemm.share.hopper.bf16",
            "gemm.share.blackwell": "gemm.share.blackwell.bf16",
        },
    ),
    "recomputation": Switch(says="nothing is computed twice", case=_no_recompute),
    "attention core": Switch(says="attention takes no time", values={"attention.share": ENDLESS}),
    "attention kernels": Switch(
        says="all kernels on a generation reach the same rate",
        values={
            "attention.share.ampere": "attention.share.ampere",
            "attention.share.hopper": "attention.share.hopper",
            "attention.share.blackwell": "attention.share.blackwell",
        },
    ),
    "packed samples": Switch(says="fine-tuning attends as far as pre-training", case=_not_packed),
    "alignment": Switch(
        says="odd dimensions cost nothing", values={"gemm.unaligned": 1.0, "attention.odd_head": 1.0}
    ),
    "size law of products": Switch(
        says="small products reach the rate of large ones",
        values={"gemm.depth": 0.0, "gemm.waves": 0.0, "gemm.bytes": 0.0},
    ),
    "memory-bound operations": Switch(
        says="norms, activations and score matrices take no time",
        values={"elementwise.passes": 0.0, "activation.passes": 0.0, "scores.passes": 0.0},
    ),
    "casts": Switch(says="casting to 8 and 4 bits takes no time", values={"cast.bytes": 0.0}),
    "logits": Switch(says="loss and softmax take no time", values={"logits.bytes": 0.0}),
    "optimizer": Switch(says="the optimizer takes no time", values={"optimizer.bytes": 0.0}),
    "wide layers": Switch(says="recipes in 8 and 4 bits keep no layer wide", case=_all_narrow),
    "power caps": Switch(says="a 500 W part is like any other", case=_usual_power),
    "host": Switch(says="launching kernels takes no time", values={"host.layer": 0.0}),
    "fixed time of a step": Switch(says="nothing is fixed", values={"step": 0.0}),
    "software date": Switch(says="kernels of all years are alike", case=_no_date),
    "rate of experts": Switch(
        says="products of experts run like others",
        values={"grouped.share": 1.0, "grouped.width": 0.0, "grouped.rows": 0.0, "grouped.gain": 1.0},
    ),
    "permutation": Switch(says="sorting tokens by expert takes no time", values={"permute.passes": 0.0}),
    "expert exchange": Switch(
        says="dispatch and combine take no time",
        values={"network.inside.all_to_all": NOTHING, "network.outside.all_to_all": NOTHING},
    ),
    "pipeline bubble": Switch(says="every pipeline runs as ZB-H2", case=_no_bubble),
    "interleaving": Switch(says="every stage is one chunk", case=_whole_stages),
    "pipeline sends": Switch(
        says="sends between stages take no time",
        values={"network.inside.send_recv": NOTHING, "network.outside.send_recv": NOTHING},
    ),
    "overlap of tensor parallelism": Switch(says="it is all exposed", values={"exposed.tp": 1.0}),
    "overlap of context parallelism": Switch(says="it is all exposed", values={"exposed.cp": 1.0}),
    "overlap of gradients": Switch(says="they are all exposed", values={"exposed.dp": 1.0}),
    "overlap of FSDP": Switch(says="gathers are all exposed", values={"exposed.shard": 1.0}),
    "slower beside work": Switch(says="collectives take as long as alone", values={"network": 1.0}),
    "communication": Switch(says="no message takes time", values={"network": NOTHING}),
}
"""By name."""
