"""Calibration: known curves are found again, what cannot be supported is refused, the file is a fabric."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration._pieces import FLAT
from simulator.calibration.fit import Calibration, fit
from simulator.calibration.logs._log import Log, LogRow
from simulator.collectives._nccl import machine_of
from simulator.errors import InputError
from simulator.profile import Piece, Series, read
from tests.conftest import in_a_process
from topologies import _fabrics

SIZES = [2**power for power in range(3, 34)]
COLUMNS = "op,gpus,size_bytes,time_us"
KEYS = {  # of the contract
    "op", "gpus", "algorithm", "protocol", "from_bytes", "to_bytes", "alpha_s", "bandwidth_Bps",
    "mean_error", "max_error", "points",
}  # fmt: skip


def three_pieces(size: int) -> float:
    """A curve like NCCL's: two breaks, one of them a jump."""
    if size <= 2**16:
        return 20e-6 + size / 2e9
    return 40e-6 + size / 40e9 if size <= 2**23 else 150e-6 + size / 200e9


def noisy(curve: Callable[[int], float], seed: int, spread: float) -> list[float]:
    random = np.random.default_rng(seed)
    return [curve(size) * math.exp(random.normal(0, spread)) for size in SIZES]


def rows(sizes: Sequence[int], times: Sequence[float], **more) -> list[LogRow]:
    values = {"op": "all_reduce", "gpus": 16} | more
    return [
        LogRow(size_bytes=size, time_s=time, line=line, **values)
        for line, (size, time) in enumerate(zip(sizes, times, strict=True), start=2)
    ]


def calibrate(*some: list[LogRow], machine=lambda _: None) -> Calibration:
    return fit([Log(source=f"{n}.log", format="test", rows=one) for n, one in enumerate(some)], machine)


def predicted(pieces: Sequence[Piece], size: int) -> float:
    piece = next((piece for piece in reversed(pieces) if size >= piece.from_bytes), pieces[0])
    return piece.alpha_s + size / piece.bandwidth_Bps


# --- what is known is found again -----------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    alpha=st.floats(1e-6, 1e-3),
    bandwidth=st.floats(1e8, 1e12),
    steeper=st.floats(1.5, 50),
    later=st.integers(10, 20),
)
def test_exact_lines_come_back_exactly(alpha: float, bandwidth: float, steeper: float, later: int):
    def curve(size: int) -> float:
        if size < SIZES[later]:
            return alpha + size / bandwidth
        return 4 * (alpha + SIZES[later] / bandwidth) + size / bandwidth / steeper

    found = calibrate(rows(SIZES, [curve(size) for size in SIZES])).pieces
    assert max(piece.max_error for piece in found) < FLAT
    assert len(found) <= 2
    assert found[0].alpha_s == pytest.approx(alpha, rel=1e-3)
    assert found[-1].bandwidth_Bps == pytest.approx(bandwidth * steeper, rel=1e-3)


def test_noisy_lines_are_found_within_the_errors_that_are_stated():
    """Normal errors stay inside of one standard error in 68 % of cases, of two in 95 %."""
    within, false_breaks = [], 0
    for seed in range(120):
        pieces = calibrate(rows(SIZES, noisy(three_pieces, seed, 0.015))).pieces
        first, last = pieces[0], pieces[-1]
        within.append(abs(first.alpha_s - 20e-6) / first.alpha_error_s)
        within.append(abs(last.bandwidth_Bps - 200e9) / last.bandwidth_error_Bps)
        false_breaks += len(pieces) > 3
        assert len(pieces) >= 3
    assert 0.6 < np.mean(np.array(within) < 1) < 0.8
    assert 0.88 < np.mean(np.array(within) < 2) < 0.99
    assert false_breaks < 0.1 * 120


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3))
def test_times_all_longer_by_a_factor(seed: int, factor: float):
    times = noisy(three_pieces, seed, 0.02)
    plain = calibrate(rows(SIZES, times)).pieces
    scaled = calibrate(rows(SIZES, [time * factor for time in times])).pieces
    assert [piece.points for piece in scaled] == [piece.points for piece in plain]
    for one, other in zip(plain, scaled, strict=True):
        assert other.alpha_s == pytest.approx(one.alpha_s * factor, rel=1e-6, abs=1e-15 * factor)
        assert other.bandwidth_Bps == pytest.approx(one.bandwidth_Bps / factor, rel=1e-6)
        assert other.mean_error == pytest.approx(one.mean_error, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(SIZES))), st.integers(0, 3))
def test_the_order_of_rows_says_nothing(order: list[int], seed: int):
    some = rows(SIZES, noisy(three_pieces, seed, 0.02))
    assert calibrate([some[k] for k in order]).pieces == calibrate(some).pieces


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, len(SIZES) - 1), factor=st.sampled_from([3.0, 1 / 3]), seed=st.integers(0, 9))
def test_one_outlier_hardly_moves_the_fit_and_is_named(place: int, factor: float, seed: int):
    times = noisy(three_pieces, seed, 0.01)
    clean = calibrate(rows(SIZES, times)).pieces
    times[place] *= factor
    found = calibrate(rows(SIZES, times))
    moved = [abs(predicted(found.pieces, size) / predicted(clean, size) - 1) for size in SIZES]
    assert median(moved) < 0.01
    assert sorted(moved)[-3] < 0.05
    if place not in (13, 14, 20, 21):  # beside a jump an outlier may look like the other piece
        assert any(f"0.log:{place + 2}: far from" in warning for warning in found.warnings)


def test_a_cold_first_row_and_one_that_its_repeat_disowns_are_left_out():
    some = rows(SIZES, [three_pieces(size) for size in SIZES])
    some[0] = rows([8], [1.0], spike=True)[0]
    some[5] = rows([SIZES[5]], [1.0], time_in_place_s=1e-5)[0]
    found = calibrate(some)
    assert found.series[0].sizes == (*SIZES[1:5], *SIZES[6:])
    assert max(piece.max_error for piece in found.pieces) < 0.02
    assert any("2 outliers left out (lines 2, 2)" in warning for warning in found.warnings)


def test_bands_touch_cover_the_sizes_and_hold_three_or_more():
    for seed in range(20):
        pieces = calibrate(rows(SIZES, noisy(three_pieces, seed, 0.1))).pieces
        assert (pieces[0].from_bytes, pieces[-1].to_bytes) == (SIZES[0], SIZES[-1])
        assert all(one.to_bytes == other.from_bytes for one, other in pairwise(pieces))
        assert min(piece.points for piece in pieces) >= 3
        assert sum(piece.points for piece in pieces) == len(SIZES)
        assert all(piece.alpha_s >= 0 and math.isfinite(piece.bandwidth_Bps) for piece in pieces)


def test_many_sizes_are_fitted_as_well():
    sizes = list(range(1024, 1024 * 5001, 1024))
    pieces = calibrate(rows(sizes, [three_pieces(size) for size in sizes]), machine=h100).pieces
    assert sum(piece.points for piece in pieces) == 5000
    assert np.mean([piece.mean_error for piece in pieces]) < 0.01


def test_repeats_count_by_their_median_and_settings_stay_apart():
    times = [three_pieces(size) for size in SIZES]
    repeated = [
        *rows(SIZES, times),
        *rows(SIZES, [t * 1.02 for t in times]),
        *rows(SIZES, [t * 2 for t in times]),
    ]
    forced = rows(SIZES, [t * 5 for t in times], algorithm_forced="Ring", protocol_forced="LL")
    found = calibrate(repeated, forced)
    assert len(found.series) == 2
    auto = next(one for one in found.series if not one.algorithm_forced)
    assert auto.times_s == pytest.approx([t * 1.02 for t in times])
    names = {piece.setting: (piece.algorithm, piece.protocol) for piece in found.pieces}
    assert sorted(names.values()) == [("ring", "LL"), ("unknown", "unknown")]
    assert any("repeats differ by 2x" in warning for warning in found.warnings)


# --- what NCCL ran --------------------------------------------------------------------------------


def h100(series: Series):
    graph = _fabrics.build("dgx-h100-ib400", series.gpus, gpus_per_node=series.gpus_per_node or 0)
    return machine_of(graph.graph, series.gpus)


def test_pieces_are_named_by_what_nccl_chooses():
    some = rows(SIZES, [three_pieces(size) for size in SIZES], library="nccl", library_version="2.26.2")
    names = [(piece.algorithm, piece.protocol) for piece in calibrate(some, machine=h100).pieces]
    assert names[0] == ("tree", "LL")
    assert names[-1][1] == "Simple"


def test_an_override_is_obeyed_and_another_library_has_no_name():
    times = [three_pieces(size) for size in SIZES]
    ring = calibrate(rows(SIZES, times, algorithm_forced="Ring"), machine=h100).pieces
    assert {piece.algorithm for piece in ring} == {"ring"}
    assert "unknown" not in {piece.protocol for piece in ring}
    rccl = calibrate(rows(SIZES, times, library="rccl"), machine=h100).pieces
    assert {(piece.algorithm, piece.protocol) for piece in rccl} == {("unknown", "unknown")}


# --- what cannot be supported ---------------------------------------------------------------------

TIMES = [20e-6 + size / 1e9 for size in SIZES]
REFUSED = [
    (rows(SIZES[:3], TIMES[:3]), "0.log:2: all_reduce, 16 GPUs: 3 sizes; a fit needs 4 or more"),
    (rows([64] * 9, [1e-5] * 9), "0.log:2: all_reduce, 16 GPUs: one size only (64 bytes)"),
    (rows([100, 120, 140, 160, 799], [1, 2, 3, 4, 5]), "0.log:2: all_reduce, 16 GPUs: sizes span a fac"),
    (rows(SIZES, [1e-5] * len(SIZES)), "0.log:2: all_reduce, 16 GPUs: times do not grow with size"),
    (rows(SIZES, TIMES[::-1]), "0.log:2: all_reduce, 16 GPUs: times do not grow with size"),
    (rows(SIZES, [0.0, *TIMES[1:]]), "0.log:2: all_reduce, 16 GPUs: a time of 0.0 s; must be more than 0"),
    (rows(SIZES, [math.nan, *TIMES[1:]]), "0.log:2: all_reduce, 16 GPUs: a time of nan s"),
    (rows(SIZES, [None, *TIMES[1:]]), "0.log:2: all_reduce, 16 GPUs: a time of None s"),
    (rows([*SIZES, 8], [*TIMES, 1e-4]), "0.log:33: all_reduce, 16 GPUs, 8 bytes: 20.01 us (line 2) and 100"),
    (rows(SIZES, TIMES, gpus=1), "0.log: has nothing to fit: every row is an outlier, of 1 GPU"),
    (rows(SIZES, TIMES, spike=True), "0.log: has nothing to fit"),
    (
        [*rows(SIZES, TIMES, library_version="2.18"), *rows(SIZES, TIMES, library_version="2.30")],
        "0.log:2: mixes library version '2.18' and '2.30': in one series (all_reduce, 16 GPUs); cal",
    ),
    (
        [*rows(SIZES, TIMES, gpu="A100"), *rows(SIZES, TIMES, gpu="H100", gpus=32)],
        "0.log:2: mixes gpu 'A100' and 'H100': one profile is of one fabric; calibrate them apart",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("some", "fault"), REFUSED, ids=[fault[:70] for _, fault in REFUSED])
def test_refusals_are_one_sentence_with_the_line(some: list[LogRow], fault: str):
    with pytest.raises(InputError) as refusal:
        calibrate(some)
    assert refusal.value.message.startswith(fault)


def test_a_thin_series_does_not_spoil_the_others():
    thin = rows(SIZES[:2], TIMES[:2], gpus=32)
    found = calibrate([*rows(SIZES, TIMES), *thin])
    assert {piece.gpus for piece in found.pieces} == {16}
    assert "0.log:2: all_reduce, 32 GPUs: 2 sizes; a fit needs 4 or more; left out" in found.warnings


# --- real runs ------------------------------------------------------------------------------------


def corpus() -> list[list[LogRow]]:
    data = files("simulator.calibration") / "data"
    measured: dict[str, list[LogRow]] = {}
    kept = (row for row in csv.DictReader(data.joinpath("points.csv").open()) if row["spike"] == "0")
    for row in kept:
        point = rows([int(row["size_bytes"])], [float(row["time_us"]) / 1e6])
        measured.setdefault(row["series_id"], []).extend(point)
    return [
        some for some in measured.values() if len(some) >= 4 and some[-1].size_bytes >= 8 * some[0].size_bytes
    ]


def test_three_or_four_lines_explain_real_curves():
    """The bound stands beside what one line gets wrong on the same runs: 14.9 %."""
    errors, count = [], 0
    for some in corpus():
        try:
            pieces = calibrate(some).pieces
        except InputError as error:
            assert "do not grow" in error.message  # noqa: PT017
            continue
        assert len(pieces) <= 4
        count += 1
        errors += [abs(predicted(pieces, row.size_bytes) / row.time_s - 1) for row in some]
    assert count > 285
    assert np.mean(errors) < 0.032


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    lines = [f"all_reduce,16,{size},{three_pieces(size) * 1e6:.3f}" for size in SIZES]
    path.write_text("\n".join([COLUMNS, *lines]) + "\n")
    return path


def test_json_has_the_keys_of_the_contract(table: Path):
    output = table.with_name("mine.toml")
    done = in_a_process(
        "calibrate", str(table), "--fabric", "dgx-h100-ib400", "--name", "mine", "-o", str(output), "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"schema", "manifest", "warnings", "rows"} <= set(result)
    assert all(set(row) >= KEYS for row in result["rows"])
    profile = read(output)
    assert (profile.name, profile.fabric) == ("mine", "dgx-h100-ib400")
    assert [row["alpha_s"] for row in result["rows"]] == [piece.alpha_s for piece in profile.pieces]
    assert result["manifest"]["inputs"] == {str(table): profile.sources[0].sha256}
    assert (profile.sources[0].file, profile.sources[0].lines) == ("runs.csv", len(SIZES) + 1)
    assert profile.range("all_reduce") == {16: (8, 2**33)}


def test_the_table_says_band_errors_range_and_file(commsim, table: Path):
    output = table.with_name("mine.toml")
    done = commsim("calibrate", table, "--fabric", "dgx-h100-ib400", "-o", output)
    first, *lines = done.stdout.splitlines()
    assert done.status == 0
    assert first.split("  ")[0] == "band"
    assert all(word in first for word in ("protocol/algorithm", "alpha us", "beta GB/s", "mean err", "worst"))
    assert lines[0].startswith("8 B .. ")
    assert "LL tree" in lines[0]
    assert "valid for: all_reduce, 16 ranks, 8 B .. 8 GiB" in lines
    assert lines[-1].startswith(f"wrote {output} (source: runs.csv, sha256 ")
    assert f"read {table}: all_reduce, 16 ranks, 31 sizes" in done.stderr


@pytest.mark.parametrize("fabric", ["dgx-h100-ib400", None])
def test_what_it_writes_is_a_fabric(commsim, table: Path, fabric: str | None):
    from simulator.engine.fabric import load

    output = table.with_name("mine.toml")
    assert commsim("calibrate", table, *(["--fabric", fabric] if fabric else []), "-o", output).status == 0
    graph, tables = load(str(output), 16)
    assert sum(kind == "gpu" for _, kind in graph.nodes(data="kind")) == 16
    assert tables is not None
    assert tables["kind"] == "profile"
    again = table.with_name("again.toml")  # and a fabric to calibrate on
    assert commsim("calibrate", table, "--fabric", output, "-o", again).status == 0
    assert read(again).pieces == read(output).pieces or fabric is None
    assert (read(again).fabric, read(again).table) == (read(output).fabric, read(output).table)


def test_a_fabric_that_has_its_gpus_keeps_them(commsim, table: Path):
    fabric = table.with_name("f.toml")
    fabric.write_text('[fabric]\nbase = "dgx-h100-ib400"\ngpus = 32\n')
    output = table.with_name("mine.toml")
    assert commsim("calibrate", table, "--fabric", fabric, "-o", output).status == 0
    assert (read(output).fabric, read(output).table) == ("dgx-h100-ib400", {"gpus": 32})


def test_what_is_typed_wrong_writes_nothing(commsim, table: Path):
    output = table.with_name("mine.toml")
    graph = table.with_name("g.json")
    table.with_name("a.toml").write_bytes(table.read_bytes())
    table.with_name("small.toml").write_text('[fabric]\nbase = "dgx-h100"\n')
    table.with_name("few.toml").write_text('[fabric]\nbase = "dgx-h100-ib400"\ngpus = 8\n')
    table.with_name("none.toml").write_text("x = 1\n")
    for arguments, status, first in [
        ((table,), 2, "error: -o is missing"),
        (("-o", output), 2, "error: LOG_OR_CSV... is missing"),
        (
            (table, "-o", table.with_name("no") / "x.toml"),
            2,
            f"error: {table.parent}/no/x.toml: no such folder",
        ),
        ((table, "-o", table.with_name("x.csv")), 2, f"error: {table.parent}/x.csv: must end in .toml"),
        ((table.with_name("a.toml"), "-o", table.with_name("a.toml")), 2, "error: -o "),
        ((table, "-o", output, "--name", " "), 2, "error: --name ' ': must be text on one line"),
        ((table, "-o", output, "--fabric", "dgx-h10"), 2, "error: unknown fabric 'dgx-h10'"),
        (
            (table, "-o", output, "--fabric", "dgx-h100"),
            2,
            "error: --fabric dgx-h100: one machine has 1 to 8",
        ),
        ((table, "-o", output, "--fabric", graph), 2, f"error: --fabric {graph}: a profile stands on"),
        ((table, "-o", output, "--fabric", table.with_name("small.toml")), 2, "error: --fabric "),
        (
            (table, "-o", output, "--fabric", table.with_name("none.toml")),
            5,
            f"error: {table.parent}/none.toml: ",
        ),
        (
            (table.with_name("missing.csv"), "-o", output),
            5,
            f"error: {table.parent}/missing.csv: no such file",
        ),
        ((table.parent, "-o", output), 5, f"error: {table.parent}: is a folder"),
    ]:
        done = commsim("calibrate", *arguments)
        assert (done.status, done.stdout) == (status, ""), arguments
        assert done.stderr.startswith(first), done.stderr
    assert table.with_name("a.toml").read_bytes() == table.read_bytes()
    assert {path.name for path in table.parent.iterdir()} == {
        "runs.csv", "a.toml", "small.toml", "few.toml", "none.toml",
    }  # fmt: skip


def test_a_refused_log_leaves_the_old_file_as_it_was(commsim, table: Path):
    output = table.with_name("mine.toml")
    output.write_text("what was there\n")
    table.write_text(f"{COLUMNS}\nall_reduce,8,8,10\nall_reduce,8,16,11\n")
    done = commsim("calibrate", table, "-o", output, "--json")
    assert done.status == 5
    assert done.error["message"] == f"{table}:2: all_reduce, 8 GPUs: 2 sizes; a fit needs 4 or more"
    assert output.read_text() == "what was there\n"
