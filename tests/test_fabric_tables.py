"""A fabric from a table: the same keys as the catalogue, units in the key or in the text, faults by name."""

import networkx as nx
import pytest

from topologies import _fabrics
from topologies._quantity import bandwidth, seconds

TABLE = {
    "family": "rail_optimized",
    "node": "dgx-h100",
    "nvswitch": "nvswitch-3",
    "pcie": "pcie-5-x16",
    "host_cpu": "intel",
    "inter": "infiniband",
    "nic": "connectx-7",
    "nic_latency": "600ns",
    "switch": "quantum2-qm9700",
    "cable": "fibre",
    "cable_metres": 30,
}


def test_table_builds_what_the_named_fabric_is():
    named = _fabrics.build("dgx-h100-ib400", 64)
    built = _fabrics.build_from_table(TABLE, 64)
    assert nx.utils.nodes_equal(built.nodes(data=True), named.nodes(data=True))
    assert nx.utils.edges_equal(built.edges(data=True), named.edges(data=True), directed=True)


def test_override_in_the_text_and_in_the_key_say_the_same():
    text = _fabrics.build_from_table(TABLE | {"nic_bandwidth": "200Gbps"}, 16)
    key = _fabrics.build_from_table(TABLE | {"nic_bandwidth_GBps": 25}, 16)
    assert text.graph["nic_bandwidth_Bps"] == key.graph["nic_bandwidth_Bps"] == 25e9
    assert text.edges[("nic", 0, 0), ("leaf", 0, 0)]["bandwidth_Bps"] == 25e9


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("400Gbps", 50e9), ("50GB/s", 50e9), ("1 TB/s", 1e12), ("100 Mbit/s", 12.5e6), ("2GiB/s", 2 * 2.0**30)],
)
def test_rates(text, wanted):
    assert bandwidth(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("1.5us", 1.5e-6), ("3 ms", 3e-3), ("936.25ns", 936.25e-9), ("2s", 2.0)]
)
def test_times(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["5", 5, "", "fast", "5 Gb", "-5Gbps", "nanGbps", "5GB", None, "1us"])
def test_no_rate(text):
    with pytest.raises(ValueError, match="needs a number and a unit"):
        bandwidth(text)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"nic_bandwith": "400Gbps"}, "unknown key 'nic_bandwith', did you mean 'nic_bandwidth'"),
        ({"swich": "quantum2-qm9700"}, "did you mean 'switch'"),
        ({"nic_bandwidth": "400"}, "'nic_bandwidth': '400' needs a number and a unit"),
        ({"nic_bandwidth": "400Gbps", "nic_bandwidth_GBps": 50}, "says again"),
        ({"nic_bandwidth": "0Gbps"}, "above|positive"),
        ({"nic_bandwidth_GBps": float("nan")}, "'nic_bandwidth_GBps'"),
        ({"nic_latency_ns": -1, "nic_latency": "1us"}, "'nic_latency_ns'"),
        ({"node": "dgx-h10"}, "nearest: dgx-h100"),
        ({"node": 5}, "'node': wanted text"),
        ({"family": "rail"}, "unknown family 'rail', nearest"),
        ({"family": "from_file"}, "unknown family"),
        ({"inside": "nope"}, "'inside' must be one of"),
        ({"intra": "nope"}, "'intra' must be one of"),
        ({"inter": "nope"}, "'inter' must be one of"),
        ({"rails": 1.5}, "'rails' must be a whole number"),
        ({"rails": -1}, "rails must be 0 or more"),
        ({"rails": True}, "'rails' must be a whole number"),
        ({"oversubscription": float("nan")}, "oversubscription must be 1 or more"),
        ({"oversubscription": "2"}, "'oversubscription' must be a number"),
        ({"oversubscription": 1e9}, "leave none upward"),
        ({"switch_ports": 10**9}, "at most"),
        ({"switch_ports": 1}, "ports must be 2 or more"),
        ({"gpus_per_node": 0}, "must be 1 or more"),
        ({"nics_per_node": 3}, "cannot be shared evenly"),
        ({"cable": "pcie-4-x16"}, "no latency per metre"),
    ],
)
def test_wrong_tables_are_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        _fabrics.build_from_table(TABLE | change, 16)


@pytest.mark.parametrize("missing", ["family", "pcie", "switch", "nic_latency", "nvswitch"])
def test_missing_keys_are_named(missing):
    with pytest.raises(ValueError, match="needs"):
        _fabrics.build_from_table({key: value for key, value in TABLE.items() if key != missing}, 16)
