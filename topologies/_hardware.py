"""What can be bought, as data in SI units: accelerators, adapters, switches, links, machines, prices."""

import math
from dataclasses import dataclass, fields

CHECKED = ("read", "part", "vendor", "model", "derived")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A row of the catalogue; without a source it cannot exist.

    Parameters
    ----------
    name : str
        Its key in the catalogue.
    source : str
        Where the numbers were printed; several addresses are separated by `` ; ``.
    checked : str
        ``read``: the values were seen in the source; ``part``: some were, `notes` names the others;
        ``vendor``: the vendor's page is named but was not re-read; ``model``: an assumption, calibrate
        before use; ``derived``: computed as `notes` says.
    notes : str
        Remarks, disagreements between sources included.

    Raises
    ------
    ValueError
        No source, an unknown `checked`, or a number that is not finite and positive.
    """

    name: str
    source: str
    checked: str
    notes: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source.strip():
            raise ValueError(f"'{self.name}' has no source")
        if self.checked not in CHECKED:
            raise ValueError(
                f"'{self.name}': checked is '{self.checked}', wanted one of {', '.join(CHECKED)}"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not (math.isfinite(value) and value > 0):
                raise ValueError(f"'{self.name}': {field.name} is {value}, wanted a positive number")

    @property
    def verified(self) -> bool:
        """Whether every number was seen in the source."""
        return self.checked == "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu(Sourced):
    """An accelerator: rates (dense) in FLOP/s, memory in bytes, bytes/s; links to peers, one way."""

    vendor: str
    year: int | None = None
    bf16_dense_flops: float | None = None
    fp16_dense_flops: float | None = None
    fp8_dense_flops: float | None = None
    fp4_dense_flops: float | None = None
    fp4_source: str = ""
    fp32_flops: float | None = None
    memory_bytes: float | None = None
    memory_bandwidth_Bps: float | None = None  # noqa: N815 (SI unit)
    scale_up: str = ""
    scale_up_bandwidth_Bps: float | None = None  # noqa: N815
    scale_up_domain: int | None = None
    power_W: float | None = None  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic(Sourced):
    """A network adapter: bytes/s of one port in one direction; latency in s, adapter to adapter."""

    vendor: str
    year: int | None = None
    ports: int | None = None
    bandwidth_Bps: float | None = None  # noqa: N815
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Sourced):
    """A switch: ports, bytes/s of one in one direction, s to pass through, W."""

    vendor: str
    year: int | None = None
    ports: int | None = None
    bandwidth_Bps: float | None = None  # noqa: N815
    latency_s: float | None = None
    power_typical_W: float | None = None  # noqa: N815
    power_max_W: float | None = None  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Sourced):
    """A link, cable or optic: bytes/s one way (an NVLink row: all `ports` of a GPU), s, s per metre, W."""

    ports: int | None = None
    bandwidth_Bps: float | None = None  # noqa: N815
    latency_s: float | None = None
    latency_per_metre_s: float | None = None
    power_typical_W: float | None = None  # noqa: N815
    power_max_W: float | None = None  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Sourced):
    """A machine: how many of which accelerator and adapter; network bytes/s of all adapters, one way."""

    year: int | None = None
    scale_up: str = ""
    scale_up_domain: int | None = None
    power_max_W: float | None = None  # noqa: N815
    gpus: int
    gpu: str
    nics: int | None = None
    nic: str = ""
    network_bandwidth_Bps: float | None = None  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Sourced):
    """What one hour of one accelerator costs, USD, on the day `date` (blank: not printed)."""

    gpu: str
    gpu_hour_USD: float  # noqa: N815
    terms: str
    date: str = ""
    gpus: int | None = None
