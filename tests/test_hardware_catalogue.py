"""The hardware catalogue: every number has a source, equals its survey, and is converted once."""

import csv
import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import _catalogue as catalogue
from topologies._hardware import CHECKED, Gpu, Link, Switch

SURVEY = Path(__file__).parents[2] / "shared" / "data" / "hardware.csv"
KINDS = {
    "accelerator": catalogue.gpus,
    "nic": catalogue.nics,
    "switch": catalogue.switches,
    "link": catalogue.links,
    "node": catalogue.nodes,
    "price": catalogue.prices,
}
FIELDS = {  # column of the survey -> field, unit
    "vendor": ("vendor", None),
    "year": ("year", 1),
    "bf16_dense_TFLOPS": ("bf16_dense_flops", 10**12),
    "fp16_dense_TFLOPS": ("fp16_dense_flops", 10**12),
    "fp8_dense_TFLOPS": ("fp8_dense_flops", 10**12),
    "fp32_TFLOPS": ("fp32_flops", 10**12),
    "memory_GB": ("memory_bytes", 10**9),
    "memory_GBps": ("memory_bandwidth_Bps", 10**9),
    "scale_up": ("scale_up", None),
    "scale_up_GBps_per_direction": ("scale_up_bandwidth_Bps", 10**9),
    "scale_up_domain": ("scale_up_domain", 1),
    "tdp_W": ("power_W", 1),
    "ports": ("ports", 1),
    "port_GBps_per_direction": ("bandwidth_Bps", 10**9),
    "latency_ns": ("latency_s", Decimal("1e-9")),
    "power_typical_W": ("power_typical_W", 1),
    "power_max_W": ("power_max_W", 1),
    "accelerators": ("gpus", 1),
    "accelerator_id": ("gpu", None),
    "nics": ("nics", 1),
    "nic_id": ("nic", None),
    "network_GBps_per_direction": ("network_bandwidth_Bps", 10**9),
    "usd_per_accelerator_hour": ("gpu_hour_USD", 1),
    "price_terms": ("terms", None),
    "date": ("date", None),
    "checked": ("checked", None),
    "source": ("source", None),
    "notes": ("notes", None),
}
ROW = '[one]\nvendor = "maker"\nsource = "https://example.org"\nchecked = "read"\n'


def survey() -> list[dict[str, str]]:
    if not SURVEY.exists():
        pytest.skip(f"the survey is not beside this checkout: {SURVEY}")
    with SURVEY.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def every_row():
    return [row for rows in KINDS.values() for row in rows().values()]


@pytest.mark.parametrize(
    ("kind", "count"),
    [("accelerator", 34), ("nic", 15), ("switch", 10), ("link", 21), ("node", 25), ("price", 40)],
)
def test_whole_survey_is_in_the_catalogue(kind, count):
    assert len(KINDS[kind]()) >= count


def test_every_value_of_the_survey_is_in_the_catalogue():
    seen = dict.fromkeys(KINDS, 0)
    for row in survey():
        entry = KINDS[row["kind"]]()[row["id"]]
        seen[row["kind"]] += 1
        for column, text in row.items():
            if column in ("kind", "id"):
                continue
            name, unit = FIELDS[column]
            if name == "latency_s" and "per metre" in row["notes"]:
                name = "latency_per_metre_s"
            found = getattr(entry, name, None)
            wanted = text if unit is None else float(Decimal(text) * unit) if text else None
            assert (found or None) == (wanted or None), (row["id"], column)
    assert list(seen.values()) == [34, 15, 10, 21, 25, 40]


def test_every_row_has_a_source_and_says_how_far_it_was_checked():
    for row in every_row():
        assert row.source.strip(), row.name
        assert row.checked in CHECKED, row.name
        assert row.verified == (row.checked == "read"), row.name


def test_what_was_not_verified_stays_marked():
    assert not catalogue.nics()["tcp-10gbe"].verified
    assert not catalogue.switches()["quantum2-qm9700"].verified
    assert catalogue.gpus()["h100-sxm5"].verified


def test_names_in_rows_are_rows():
    for node in catalogue.nodes().values():
        assert node.gpu in catalogue.gpus(), node.name
    for price in catalogue.prices().values():
        assert price.gpu in catalogue.gpus(), price.name


def test_units_are_converted_exactly():
    h100 = catalogue.gpus()["h100-sxm5"]
    assert (h100.bf16_dense_flops, h100.memory_bytes, h100.scale_up_bandwidth_Bps) == (989.4e12, 80e9, 450e9)
    assert catalogue.switches()["quantum2-qm9700"].latency_s == 330e-9
    assert catalogue.switches()["nvswitch-3"].latency_s == 936.25e-9
    assert catalogue.links()["copper-passive"].latency_per_metre_s == 4.5e-9
    assert catalogue.links()["copper-passive"].latency_s is None


@given(st.decimals(min_value=Decimal("0.001"), max_value=10**6, places=3))
def test_conversion_rounds_once(value):
    assert catalogue.to_si("x_ns", value) == ("x_s", float(value * Decimal("1e-9")))
    assert catalogue.to_si("x_GBps", value) == ("x_Bps", float(value * 10**9))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[one]\nvendor = "maker"\nchecked = "read"\n', "'one' has no source"),
        ('[one]\nvendor = "maker"\nsource = "  "\nchecked = "read"\n', "'one' has no source"),
        (ROW.replace("read", "seen"), "'one': checked is 'seen'"),
        (ROW + "portz = 3\n", "'one'.*portz"),
        (ROW + "latency_ns = -3\n", "'one': latency_s is"),
        (ROW + "latency_ns = nan\n", "'one': latency_s is nan"),
        (ROW + "bandwidth_GBps = inf\n", "'one': bandwidth_Bps is inf"),
        (ROW + "ports = 0\n", "'one': ports is 0"),
    ],
)
def test_bad_rows_do_not_load(text, fault):
    with pytest.raises(ValueError, match=fault):
        catalogue.parse(text, Switch)


def test_good_row_loads():
    assert catalogue.parse(ROW + "latency_ns = 5\n", Switch)["one"].latency_s == 5e-9


def test_rows_are_frozen_and_shared():
    assert catalogue.gpus() is catalogue.gpus()
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.gpus()["t4"].memory_bytes = 1.0
    with pytest.raises(TypeError):
        catalogue.gpus()["mine"] = catalogue.gpus()["t4"]


def test_row_cannot_be_made_without_a_source():
    with pytest.raises(ValueError, match="'mine' has no source"):
        Gpu(name="mine", vendor="me", source="", checked="read")
    with pytest.raises(TypeError):
        Link(name="mine", checked="read")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"'h100-sxm' .*nearest: h100-sxm5"):
        catalogue.find(catalogue.gpus(), "h100-sxm")
