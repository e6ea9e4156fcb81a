"""Profile files: written and read back to the last digit, and refused with a sentence when wrong."""

import hashlib
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import InputError
from simulator.profile import Piece, Profile, Series, Source, parse, read, write

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
NAMES = WORDS.filter(bool)
POSITIVE = st.floats(1e-12, 1e15)
COUNTS = st.integers(1, 2**40)
HASHES = st.binary(max_size=4).map(lambda data: hashlib.sha256(data).hexdigest())
FILES = st.text(string.ascii_letters + "._- é", min_size=1).filter(str.strip)


@st.composite
def series(draw, op: str = "all_reduce", gpus: int = 8) -> Series:
    sizes = sorted(draw(st.sets(COUNTS, min_size=1, max_size=6)))
    times = st.lists(POSITIVE, min_size=len(sizes), max_size=len(sizes)).map(tuple)
    return Series(
        op=op,
        gpus=gpus,
        dtype=draw(WORDS),
        library=draw(WORDS),
        gpu=draw(WORDS),
        sizes=tuple(sizes),
        times_s=draw(times),
        in_place=draw(st.none() | times),
    )


@st.composite
def profiles(draw) -> Profile:
    some = [draw(series(gpus=gpus)) for gpus in draw(st.sets(st.integers(1, 64), min_size=1, max_size=3))]
    pieces = []
    for one in some:
        edges = sorted(draw(st.sets(COUNTS, min_size=2, max_size=4)))
        for low, high in pairwise(edges):
            errors = sorted(draw(st.tuples(POSITIVE, POSITIVE)))
            pieces.append(
                Piece(
                    op=one.op, gpus=one.gpus, dtype=one.dtype, algorithm=draw(NAMES), protocol="LL",
                    from_bytes=low, to_bytes=high, alpha_s=draw(st.floats(0, 10)), alpha_error_s=0.0,
                    bandwidth_Bps=draw(POSITIVE), bandwidth_error_Bps=draw(POSITIVE),
                    mean_error=errors[0], max_error=errors[1], points=draw(COUNTS),
                )
            )  # fmt: skip
    named = draw(st.booleans())
    return Profile(
        name=draw(NAMES),
        fabric=draw(NAMES) if named else "",
        table={}
        if named
        else draw(st.dictionaries(NAMES.filter(lambda key: key != "base"), POSITIVE | WORDS)),
        sources=tuple(draw(st.lists(st.builds(Source, file=FILES, sha256=HASHES, lines=COUNTS), max_size=2))),
        pieces=tuple(pieces),
        series=tuple(some),
    )


@given(profiles())
def test_a_profile_comes_back_as_it_was_written(tmp_path_factory, profile: Profile):
    path = tmp_path_factory.mktemp("profiles") / "p.toml"
    path.write_text(write(profile), encoding="utf-8")
    assert read(path) == profile


def test_range_says_what_was_measured_at_each_gpu_count():
    sizes = {8: (64, 1024), 2: (8, 16)}
    measured = [Series(op="all_reduce", gpus=n, sizes=s, times_s=(1.0, 2.0)) for n, s in sizes.items()]
    again = Series(op="all_reduce", gpus=8, dtype="float16", sizes=(8, 128), times_s=(1.0, 2.0))
    profile = Profile(name="p", series=(*measured, again))
    assert list(profile.range("all_reduce").items()) == [(2, (8, 16)), (8, (8, 1024))]
    assert profile.range("broadcast") == {}


def test_the_fabric_may_have_been_taken_out_by_who_builds_it():
    tables = {"schema": 1, "kind": "profile", "name": "p"}
    tables["series"] = [{"op": "reduce", "gpus": 2, "sizes": [8], "times_s": [1e-5]}]
    assert parse(tables, "p.toml").fabric == ""
    assert parse(tables | {"fabric": {"base": "dgx-a100"}}, "p.toml").fabric == "dgx-a100"


GOOD = """
schema = 1
kind = "profile"
name = "mine"

[fabric]
base = "dgx-h100"

[[source]]
file = "a.log"
sha256 = "%s"
lines = 40

[[piece]]
op = "all_reduce"
gpus = 8
algorithm = "ring"
protocol = "LL"
from_bytes = 8
to_bytes = 4096
alpha_s = 1e-5
alpha_error_s = 0
bandwidth_Bps = 1e9
bandwidth_error_Bps = 1e7
mean_error = 0.01
max_error = 0.02
points = 4

[[piece]]
op = "all_reduce"
gpus = 8
algorithm = "ring"
protocol = "Simple"
from_bytes = 4096
to_bytes = 65536
alpha_s = 0.0
alpha_error_s = 1e-7
bandwidth_Bps = 1e11
bandwidth_error_Bps = 0
mean_error = 0.0
max_error = 0.0
points = 3

[[series]]
op = "all_reduce"
gpus = 8
nodes = 1
gpus_per_node = 8
sizes = [8, 4096, 65536]
times_s = [1e-5, 2e-5, 3e-5]
in_place = [1e-5, 2e-5, 3e-5]
""" % ("0" * 64)
GOOD = GOOD.replace("gpus = 8\nalgorithm", "gpus = 8\nnodes = 1\nalgorithm")

BAD = [  # what is replaced, by what, first fault
    ("schema = 1", "schema = 2", "schema: 2; this version reads 1"),
    ('kind = "profile"', 'kind = "scenario"', "is no profile: wanted kind = \"profile\", got 'scenario'"),
    ('kind = "profile"', "", 'is no profile: wanted kind = "profile", got None'),
    ('name = "mine"', "", "name: must be text on one line"),
    ('name = "mine"', 'name = " "', "name: must not be empty"),
    ('name = "mine"', 'name = "a\\nb"', "name: must be text on one line"),
    ('name = "mine"', 'name = "mine"\nserie = 1', "serie: unknown key 'serie', did you mean 'series'?"),
    ('[fabric]\nbase = "dgx-h100"', "fabric = 3", "fabric: must be a table"),
    ('base = "dgx-h100"', "base = 7", "fabric.base: must be text on one line"),
    ('base = "dgx-h100"', 'base = "a"\nfamily = "b"', "fabric.family: unknown key 'family'"),
    ('file = "a.log"', 'file = "runs/a.log"', "source[1].file: must be a name without folders"),
    ("0" * 64, "0" * 63, "source[1].sha256: must be 64 hexadecimal digits"),
    ("lines = 40", "lines = 0", "source[1].lines: 0; must be a whole number from 1 on"),
    ("lines = 40", "lines = true", "source[1].lines: True; must be a whole number from 1 on"),
    ("alpha_s = 1e-5", "alpa_s = 1e-5", "piece[1].alpa_s: unknown key 'alpa_s', did you mean 'alpha_s'?"),
    ("alpha_s = 1e-5", "alpha_s = nan", "piece[1].alpha_s: nan; must be a number, 0 or more"),
    ("alpha_s = 1e-5", "alpha_s = -1e-5", "piece[1].alpha_s: -1e-05; must be a number, 0 or more"),
    ("alpha_s = 1e-5", 'alpha_s = "1us"', "piece[1].alpha_s: '1us'; must be a number, 0 or more"),
    ("bandwidth_Bps = 1e9", "bandwidth_Bps = 0", "piece[1].bandwidth_Bps: 0; must be a number above 0"),
    ("bandwidth_Bps = 1e9", "bandwidth_Bps = inf", "piece[1].bandwidth_Bps: inf; must be a number above 0"),
    ("points = 4", "", "piece[1].points: is missing"),
    ("points = 4", "points = 4.0", "piece[1].points: 4.0; must be a whole number from 1 on"),
    ("max_error = 0.02", "max_error = 0.001", "piece[1]: mean_error is larger than max_error"),
    ("from_bytes = 4096", "from_bytes = 4095", "piece[2]: overlaps the piece before it, which reaches 4096"),
    ("from_bytes = 8", "from_bytes = 4096", "piece[1]: from 4096 to 4096 bytes is no band"),
    ("gpus = 8\nnodes = 1\nalgorithm", "gpus = 4\nalgorithm", "piece[1]: belongs to no [[series]]"),
    ("op = \"all_reduce\"", "op = \"all_redcue\"", "piece[1].op: unknown op 'all_redcue', did you mean "),
    ("gpus_per_node = 8", "gpus_per_node = 4", "series[1]: mismatched GPU counts: 1 nodes x 4 GPUs are"),
    ("[8, 4096, 65536]", "[8, 65536, 4096]", "series[1].sizes: must grow"),
    ("[8, 4096, 65536]", "[8, 4096]", "series[1].times_s: 3 numbers for 2 sizes"),
    ("[8, 4096, 65536]", "[8, 4096.5, 65536]", "series[1].sizes: number 2: 4096.5; must be a whole number"),
    ("[8, 4096, 65536]", "[]", "series[1].sizes: must be a list of numbers"),
    ("times_s = [1e-5", "times_s = [0.0", "series[1].times_s: number 1: 0.0; must be a number above 0"),
    ("in_place = [1e-5, 2e-5, 3e-5]", "in_place = [1e-5]", "series[1].in_place: 1 numbers for 3 sizes"),
    ("schema = 1", "schema = true", "schema: True; this version reads 1"),
    ("lines = 40", f"lines = 0x{'f' * 5000}", "source[1].lines: a huge number; must be a whole number"),
    ("alpha_s = 1e-5", f"alpha_s = 0x{'f' * 5000}", "piece[1].alpha_s: a huge number; must be a number"),
    ("[[series]]", "[[serie]]", "serie: unknown key 'serie', did you mean 'series'?"),
    ("[[series]]", "[series]", "series: must be tables, each under [[series]]"),
    ("lines = 40", "lines = 40\nlines = 41", "not valid TOML: "),
    ("[[piece]]", "[[piece", "not valid TOML: "),
    (GOOD, "", "is empty"),
    (GOOD, "\x00\x01\x02", "binary data, not text"),
    (GOOD, "a = " + "[" * 100_000, "nested too deeply"),
]  # fmt: skip


def test_the_file_that_the_bad_ones_are_made_from_is_good(tmp_path):
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    profile = read(path)
    assert [piece.protocol for piece in profile.pieces] == ["LL", "Simple"]
    assert profile.series[0].times_s == (1e-5, 2e-5, 3e-5)


@pytest.mark.parametrize(("old", "new", "fault"), BAD, ids=[fault[:60] for *_, fault in BAD])
def test_bad_files_are_refused_by_name_and_fault(tmp_path, old: str, new: str, fault: str):
    assert old in GOOD
    path = tmp_path / "p.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read(path)
    assert refusal.value.message.startswith(f"{path}: {fault}")


def test_all_faults_are_told_together(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(GOOD.replace("gpus = 8", "gpus = 0").replace("points = 3", "points = -1"))
    with pytest.raises(InputError, match=r"piece\[1\]\.gpus: 0; .* \(and 3 more faults\)") as refusal:
        read(path)
    assert any(detail.startswith("piece[2].points") for detail in refusal.value.details)


def test_the_same_series_twice_is_refused(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(GOOD + GOOD[GOOD.index("[[series]]") :])
    with pytest.raises(InputError, match=r"series\[2\]: the same operation, GPUs and setting as series\[1\]"):
        read(path)
