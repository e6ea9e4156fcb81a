"""Scenario files: what is refused, with which words, and what is accepted."""

import gzip
import json
import time

import pytest

from simulator.errors import InputError
from simulator.network.scenario import LIMIT, read, replay_scenario

GOOD = {
    "name": "two-hops",
    "level": 1,
    "about": "for this test",
    "links": [
        {"id": "l0", "src": "a", "dst": "b", "bandwidth_Bps": 1e9, "latency_s": 1e-6},
        {"id": "l1", "src": "b", "dst": "c", "bandwidth_Bps": 2e9, "latency_s": 0.0},
    ],
    "flows": [
        {"id": "f0", "route": ["l0", "l1"], "bytes": 1000000000, "after": [], "delay_s": 0.0},
        {"id": "f1", "route": ["l1"], "bytes": 1000, "after": ["f0"], "delay_s": 0.5},
    ],
}
GONE = object()


def changed(*path_and_value):
    """Return the good file with one place in it replaced, added or, for GONE, deleted."""
    *path, last, value = path_and_value
    data = json.loads(json.dumps(GOOD))
    place = data
    for step in path:
        place = place[step]
    if value is GONE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return data


def link(**changes):
    return GOOD["links"][0] | changes


def flow(**changes):
    return GOOD["flows"][0] | changes


FAULTS = [
    # the whole
    ([], ": must be an object with links and flows, got a list of 0"),
    (None, ": must be an object with links and flows, got null"),
    ("text", ": must be an object with links and flows, got 'text'"),
    ({}, ": no key 'links' (and 1 more fault)"),
    (changed("links", GONE), ": no key 'links'"),
    (changed("flows", GONE), ": no key 'flows'"),
    (changed("links", []), ": links: is empty"),
    (changed("flows", []), ": flows: is empty"),
    (changed("links", {}), ": links: must be a list, got an object of 0"),
    (changed("flows", None), ": flows: must be a list, got null"),
    (changed("link", []), ": unknown key 'link', did you mean 'links'?"),
    (changed("zzz", 1), ": unknown key 'zzz'"),
    (changed("", 1), ": unknown key ''"),
    (changed("links", 0, "l0"), ": links[0]: must be an object, got 'l0'"),
    (changed("flows", 2, ["f2"]), ": flows[2]: must be an object, got a list of 1"),
    # links
    (changed("links", 0, "bandwidth_Bps", 0), ": links[0].bandwidth_Bps: must be above 0"),
    (changed("links", 0, "bandwidth_Bps", -1e9), ": links[0].bandwidth_Bps: must not be negative, got -1"),
    (changed("links", 0, "bandwidth_Bps", 1e-300), ": links[0].bandwidth_Bps: must be above 0 (at least"),
    (changed("links", 0, "bandwidth_Bps", 1e31), ": links[0].bandwidth_Bps: must be at most 1e+30"),
    (changed("links", 0, "bandwidth_Bps", 10**40), ": links[0].bandwidth_Bps: must be at most 1e+30"),
    (changed("links", 0, "bandwidth_Bps", "1e9"), ": links[0].bandwidth_Bps: must be a number, got '1e9'"),
    (changed("links", 0, "bandwidth_Bps", True), ": links[0].bandwidth_Bps: must be a number, got true"),
    (changed("links", 0, "bandwidth_Bps", None), ": links[0].bandwidth_Bps: must be a number, got null"),
    (changed("links", 0, "latency_s", [1e9]), ": links[0].latency_s: must be a number, got a list of 1"),
    (changed("links", 0, "bandwidth_Bps", GONE), ": links[0]: no key 'bandwidth_Bps'"),
    (changed("links", 0, "latency_s", -1e-6), ": links[0].latency_s: must not be negative, got -1e-06"),
    (changed("links", 0, "latency_s", False), ": links[0].latency_s: must be a number, got false"),
    (changed("links", 0, "latency_s", 1e300), ": links[0].latency_s: must be at most 1e+30"),
    (changed("links", 0, "latency_s", GONE), ": links[0]: no key 'latency_s'"),
    (changed("links", 0, "latency", 1e9), ": links[0]: unknown key 'latency', did you mean 'latency_s'?"),
    (changed("links", 0, "src", GONE), ": links[0]: no key 'src'"),
    (changed("links", 0, "dst", 7), ": links[0].dst: must be a text, got 7"),
    (changed("links", 0, "id", GONE), ": links[0]: no key 'id'"),
    (changed("links", 0, "id", 0), ": links[0].id: must be a text, got 0"),
    (changed("links", 0, "id", ""), ": links[0].id: must be a text, got ''"),
    (changed("links", 0, "id", "l\n0"), ": links[0].id: must be text of one line, got 'l\\n0'"),
    (changed("links", 0, "id", "\ud800"), ": links[0].id: must be text of one line, got '\\ud800'"),
    (changed("links", 2, link(id="l1")), ": links[2].id: another link has the id 'l1'"),
    # flows
    (changed("flows", 0, "bytes", -1), ": flows[0].bytes: must not be negative, got -1"),
    (changed("flows", 0, "bytes", 1.5), ": flows[0].bytes: must be a whole number, got 1.5"),
    (changed("flows", 0, "bytes", 1e9), ": flows[0].bytes: must be a whole number, got 1000000000.0"),
    (changed("flows", 0, "bytes", "1000"), ": flows[0].bytes: must be a whole number, got '1000'"),
    (changed("flows", 0, "bytes", True), ": flows[0].bytes: must be a whole number, got true"),
    (changed("flows", 0, "bytes", 10**31), ": flows[0].bytes: must be at most 1e+30, got 1" + 31 * "0"),
    (changed("flows", 0, "bytes", 10**399), ": flows[0].bytes: must be at most 1e+30, got 1" + 39 * "0"),
    (changed("flows", 0, "bytes", GONE), ": flows[0]: no key 'bytes'"),
    (changed("flows", 0, "size", 5), ": flows[0]: unknown key 'size'"),
    (changed("flows", 0, "delay", 5), ": flows[0]: unknown key 'delay', did you mean 'delay_s'?"),
    (changed("flows", 0, "delay_s", -0.1), ": flows[0].delay_s: must not be negative, got -0.1"),
    (changed("flows", 0, "delay_s", "0"), ": flows[0].delay_s: must be a number, got '0'"),
    (changed("flows", 0, "delay_s", GONE), ": flows[0]: no key 'delay_s'"),
    (changed("flows", 0, "route", []), ": flows[0].route: is empty; a flow crosses at least one link"),
    (changed("flows", 0, "route", GONE), ": flows[0]: no key 'route'"),
    (changed("flows", 0, "route", "l0"), ": flows[0].route: must be a list of ids, got 'l0'"),
    (changed("flows", 0, "route", [0]), ": flows[0].route[0]: must be an id, a text, got 0"),
    (changed("flows", 0, "route", ["l0", "l9"]), ": flows[0].route[1]: no link 'l9'"),
    (changed("flows", 0, "route", ["l0", "l0"]), ": flows[0].route[1]: crosses link 'l0' twice"),
    (changed("flows", 0, "route", ["l1", "l0"]), ": flows[0].route[1]: not contiguous: link 'l0' starts at"),
    (changed("flows", 0, "after", GONE), ": flows[0]: no key 'after'"),
    (changed("flows", 0, "after", "f1"), ": flows[0].after: must be a list of ids, got 'f1'"),
    (changed("flows", 0, "after", [{}]), ": flows[0].after[0]: must be an id, a text, got an object of 0"),
    (changed("flows", 1, "after", ["f9"]), ": flows[1].after[0]: no flow 'f9'"),
    (changed("flows", 0, "after", ["f0"]), ": flows[0].after[0]: flow 'f0' waits for itself"),
    (changed("flows", 0, "after", ["f1"]), ": flows: flows wait for each other in a cycle: 'f"),
    (changed("flows", [flow(after=["f1"]), flow(id="f1")]), ": flows[0].after[0]: flow 'f1' comes later"),
    (changed("flows", 1, "id", 1.0), ": flows[1].id: must be a text, got 1.0"),
    (changed("flows", 1, "id", GONE), ": flows[1]: no key 'id'"),
    (changed("flows", 2, flow(id="f1")), ": flows[2].id: another flow has the id 'f1'"),
]  # fmt: skip


def refusal(tmp_path, data):
    path = tmp_path / "scenario.json"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path)
    first = str(caught.value)
    assert first.startswith(str(path))
    assert len(first.splitlines()) == 1
    first.encode()  # whatever the file holds, any terminal can print this
    return first.removeprefix(str(path)), caught.value


@pytest.mark.parametrize(("data", "message"), FAULTS, ids=[message[2:60] for _, message in FAULTS])
def test_a_wrong_file_is_refused_with_its_fault(tmp_path, data, message):
    first, _ = refusal(tmp_path, json.dumps(data).encode())
    assert first.startswith(message)


TEXT = json.dumps(GOOD)
RAW = [
    (b"", "is empty"),
    (TEXT[:200].encode(), "not valid JSON"),
    (TEXT.encode() + b"}", "not valid JSON: Extra data"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8 text"),
    (b"links\x00flows", "binary data"),
    (TEXT.replace("two-hops", "zwei-Spr\u00fcnge").encode("latin-1"), "not UTF-8 text"),
    (TEXT.replace("1e-06", "NaN").encode(), "NaN is not a number that JSON knows"),
    (TEXT.replace("1e-06", "Infinity").encode(), "Infinity is not a number that JSON knows"),
    (TEXT.replace("1e-06", "-Infinity").encode(), "-Infinity is not a number that JSON knows"),
    (TEXT.replace("1e-06", "1e999").encode(), "number 1e999 is too large"),
    (TEXT.replace("1000000000,", "9" * 5000 + ",").encode(), "a number of 5000 digits"),
    (TEXT.replace('"id": "l0",', '"id": "l0", "id": "l7",').encode(), "key 'id' appears twice"),
    (TEXT.replace("1e-06", "1e-06,").encode(), "not valid JSON"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"links":' * 100_000, "nested too deeply"),
    (gzip.compress(TEXT.encode())[:-12], "gzip"),
    (gzip.compress(TEXT.encode()) + b"more", "something that is not gzip follows"),
    (gzip.compress(b" " * (LIMIT + 1)), "is larger than 24 MiB"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), RAW, ids=[message for _, message in RAW])
def test_what_is_no_scenario_at_all_is_refused(tmp_path, data, message):
    first, _ = refusal(tmp_path, data)
    assert message in first


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


def test_all_faults_are_told_together(tmp_path):
    data = changed("links", 0, "bandwidth_Bps", 0)
    data["flows"][0]["bytes"] = -5
    data["flows"][1]["route"] = ["l7"]
    first, error = refusal(tmp_path, json.dumps(data).encode())
    assert first.startswith(": links[0].bandwidth_Bps: must be above 0")
    assert first.endswith("(and 2 more faults)")
    assert [detail.split("  ")[0] for detail in error.details] == ["flows[0].bytes", "flows[1].route[0]"]


def test_one_fault_is_told_once(tmp_path):
    """A link whose own numbers are wrong is still a link to the routes that cross it."""
    first, _ = refusal(tmp_path, json.dumps(changed("links", 0, "bandwidth_Bps", "fast")).encode())
    assert "more fault" not in first


def many(flows):
    return json.dumps({"links": GOOD["links"], "flows": list(flows)}).encode()


HOSTILE = {
    "a million empty objects": b'{"links":[' + b"{}," * 1_000_000 + b"{}]}",
    "a million lists": b'{"flows":[' + b"[]," * 1_000_000 + b"{}]}",
    "a million keys": ("{" + ",".join(f'"k{i}":0' for i in range(500_000)) + "}").encode(),
    "a key of 5 MB": b'{"' + b"l" * 5_000_000 + b'":0}',
    "an id of controls": b'{"links":[{"id":"' + b"\\u0001" * 500_000 + b'"}]}',
    "a long circle": many(flow(id=f"f{i}", after=[f"f{(i + 1) % 50_000}"]) for i in range(50_000)),
    "faults everywhere": many(flow(id=f"f{i}", bytes=-1, route=["x"] * 20) for i in range(50_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_time(tmp_path, name):
    begun = time.process_time()
    first, _ = refusal(tmp_path, HOSTILE[name])
    assert time.process_time() - begun < 60  # a hang, not a benchmark
    assert len(first) < 300


CONTROLS = {
    "as it is": TEXT.encode(),
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "Windows line ends": json.dumps(GOOD, indent=1).replace("\n", "\r\n").encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "gzip": gzip.compress(TEXT.encode()),
    "gzip in two parts": gzip.compress(TEXT.encode()[:99]) + gzip.compress(TEXT.encode()[99:]),
    "nothing but links and flows": json.dumps({key: GOOD[key] for key in ("flows", "links")}).encode(),
    "results, even wrong ones, are no input": json.dumps(
        GOOD | {"finish_s": {"f0": 17, "nobody": None}, "makespan_s": "soon", "level": 9, "name": "other"}
    ).encode(),
    "no bytes": json.dumps(changed("flows", 1, "bytes", 0)).encode(),
    "whole bandwidth": json.dumps(changed("links", 0, "bandwidth_Bps", 1000000000)).encode(),
    "parallel links": json.dumps(changed("links", 2, link(id="l0b"))).encode(),
    "the same flow twice in after": json.dumps(changed("flows", 1, "after", ["f0", "f0"])).encode(),
    "unicode ids": TEXT.replace("l0", "\u94fe\u8def \U0001f517").encode(),
    "escaped unicode ids": TEXT.replace("l0", "\\u94fe \\ud83d\\udd17").encode(),
    "a link and a flow of one name": TEXT.replace("f1", "l1").encode(),
    "numbers at the edge": json.dumps(changed("flows", 1, "bytes", 10**30)).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROLS)
def test_a_right_file_is_accepted(tmp_path, name):
    path = tmp_path / "scenario.json"
    path.write_bytes(CONTROLS[name])
    result = replay_scenario(read(path))
    assert len(result.finish) == 2
    assert result.finish["f0"] == pytest.approx(1.000001, rel=1e-12)
    assert result.makespan >= 1.5


def test_what_was_read_is_what_was_written(tmp_path):
    path = tmp_path / "scenario.json"
    path.write_text(TEXT, encoding="utf-8")
    scenario = read(str(path))
    assert [(id_, one.bandwidth, one.latency) for id_, one in scenario.links.items()] == [
        ("l0", 1e9, 1e-6),
        ("l1", 2e9, 0.0),
    ]
    assert [(one.id, one.route, one.size, one.after, one.delay) for one in scenario.flows] == [
        ("f0", ("l0", "l1"), 10**9, (), 0.0),
        ("f1", ("l1",), 1000, ("f0",), 0.5),
    ]
