"""The predictor: closed form, covariance, what it may see, how far off it is on held-out points."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration import referee, train, training
from simulator.calibration.components import COMPONENTS, NAMES, START, decode, encode
from simulator.calibration.corpus import (
    corpus_hash,
    corpus_of,
    family_of,
    shipped,
    shipped_rows,
    sources,
    splits,
)
from simulator.calibration.covariance import Covariance, Features
from simulator.calibration.fitted import BASES, LIBRARIES, fitted, half_of
from simulator.calibration.kriging import krige
from simulator.calibration.link_words import gpu_of, inside_of, outside_of
from simulator.calibration.measured import text
from simulator.calibration.mechanism import Design, log_microseconds, prior
from simulator.calibration.predictor import Predictor
from simulator.calibration.referee import accuracy
from simulator.calibration.setting import of_row

ROWS = [row for row in shipped_rows() if not row.spike]
SOME = ROWS[:: max(1, len(ROWS) // 60)]


def some_corpus(count: int = 160):
    """Return a small part of the corpus: several series of several fabrics."""
    return shipped("library").take(np.arange(0, len(shipped("library").log_us), 3651 // count)[:count])


def test_the_whole_corpus_ships_with_a_source_and_a_licence_for_every_series():
    assert len(shipped_rows()) == 4353
    assert len({row.series_id for row in shipped_rows()}) == 308
    known = {str(source["name"]) for source in sources() if source["licence"]}
    assert {row.source for row in shipped_rows()} <= known
    assert sum(len(shipped(family).log_us) for family in LIBRARIES) == len(ROWS)


def test_the_splits_name_what_there_is_and_no_spike():
    held = splits()
    sizes = {(row.series_id, row.size_bytes) for row in ROWS}
    for series, listed in held["sizes"].items():
        assert all((series, size) in sizes for size in listed)
    series = {row.series_id for row in shipped_rows()}
    assert set(held["counts"]["series"]) <= series
    listed = [name for names in held["fabrics"].values() for name in names]
    assert sorted(listed) == sorted(series)


@pytest.mark.parametrize(
    ("text", "family", "transport", "rate"),
    [
        ("8x CX-7 IB 400 Gb/s per node", "hopper", "infiniband", 400),
        ("8x NDR 400G", "hopper", "infiniband", 400),
        ("NDR400 x8", "hopper", "infiniband", 400),
        ("4x200GbE RoCEv2", "hopper", "roce", 100),
        ("2xHDR200", "ampere", "infiniband", 50),
        ("Intel E810 2x25GbE", "ampere", "roce", 6.25),
        ("HPE Cray Slingshot 200Gb NIC x4", "ampere", "slingshot", 100),
        ("8x 50 GB/s InfiniBand", "hopper", "infiniband", 400),
        ("3.2 Tb/s RoCE", "hopper", "roce", 400),
        ("EFA v2 3200 Gbps", "hopper", "efa", 400),
        ("Quantum-2", "hopper", "infiniband", 400),
        ("8x Quantum-X800 XDR", "blackwell", "infiniband", 800),
        ("4x Omni-Path 100", "ampere", "omni-path", 50),
        ("10GbE TCP", "hopper", "tcp", 1.25),
        ("IPoIB over 1x HDR", "ampere", "tcp", 25),
        ("8x HDR200 IB per node (DGX A100)", "ampere", "infiniband", 200),
        ("32x EFA 100 Gb/s per node (p5.48xlarge)", "hopper", "efa", 400),
        ("RoCE 3200 Gb/s per node (BM.GPU.MI300X.8)", "cdna3", "roce", 400),
        ("2x Slingshot-11 200 Gb/s per node (CXI, aws-ofi-nccl)", "ampere", "slingshot", 50),
        ("TCP sockets over 2x Slingshot-11 per node (no plugin)", "ampere", "tcp", 50),
        ("8x 200 Gb/s Ethernet per node, GPUDirect-TCPXO", "hopper", "tcpx", 200),
        ("2x EDR100 IB per node", "volta", "infiniband", 25),
    ],
)
def test_links_are_read_from_words(text, family, transport, rate):
    assert outside_of(text, family, 8, 8, []) == (transport, pytest.approx(rate))


def test_gpus_and_inside_links_are_read_from_words():
    assert gpu_of("NVIDIA H100 80GB HBM3")[:2] == ("h100", "hopper")
    assert gpu_of("NVIDIA GB200")[:2] == ("gb200", "blackwell")
    assert gpu_of("something new") == ("", "other", 0.0)
    assert inside_of("NVLink4 NVSwitch 450 GB/s per dir", "hopper", 450, "H100") == ("nvswitch", 450)
    assert inside_of("NVLink3 direct mesh of 4 (100 GB/s per pair per dir)", "ampere", 300, "A100") == (
        "nvlink_mesh",
        300,
    )
    assert inside_of("NVLink4 900 GB/s bidirectional", "hopper", 450, "H100") == ("nvswitch", 450)
    assert inside_of("NVLink5", "other", 0, "something new") == ("nvswitch", 900)
    assert inside_of("PIX", "hopper", 63, "H100 PCIe") == ("pcie", 63)
    with pytest.raises(ValueError, match="intra_link 'HCCS' and the GPU are unknown"):
        inside_of("HCCS", "other", 0, "Ascend 910B")
    assert inside_of("PCIe 5.0 x8", "xe", 31.5, "Arc") == ("pcie", pytest.approx(31.5))
    with pytest.raises(ValueError, match="intra_link is blank"):
        inside_of("", "other", 0, "")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 268), st.integers(3, 36))
def test_the_closed_form_grows_with_the_size(series, octave):
    setting = shipped("library").settings[series]
    sizes = np.exp2([octave, octave + 1.0])
    times = log_microseconds(prior().mean, Design([setting], np.zeros(2, dtype=np.int64), sizes))
    assert 0 < times[1] - times[0] < np.log(2) + 1e-12  # more bytes take longer, twice as many at most twice


def test_the_covariance_is_symmetric_positive_and_matches_its_rows():
    corpus = some_corpus()
    features, values = Features(corpus.settings), decode(START)
    matrix = Covariance(features, values).measured(corpus.points)
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
    for part in COMPONENTS:
        assert np.allclose(features.shared_of_last(part, values), features.shared(part, values)[-1])
    assert np.allclose(encode(np.array(list(values.values()))), START)
    assert list(values) == list(NAMES)


def test_leaving_points_out_equals_never_having_had_them():
    corpus = some_corpus()
    covariance = Covariance(Features(corpus.settings), decode(START))
    residual = np.sin(np.arange(len(corpus.log_us)))
    wanted = corpus.points.take(np.array([5, 40]))
    itself = np.zeros((2, len(residual)), dtype=bool)
    itself[0, [5, 6]] = itself[1, [40]] = True
    mean, deviation = krige(covariance, corpus.points, residual, wanted, itself)
    for place in range(2):
        kept = ~itself[place]
        alone = krige(covariance, corpus.points.take(kept), residual[kept], wanted.take(np.array([place])))
        assert mean[place] == pytest.approx(alone[0][0], abs=1e-9)
        assert deviation[place] == pytest.approx(alone[1][0], rel=1e-6)


@pytest.mark.parametrize("basis", BASES)
def test_the_gradient_of_the_loss_is_its_slope(basis):
    corpus = some_corpus(80)
    problem = training._Problem(corpus, training.BLOCKS[basis](corpus))
    parameters = problem.start + 0.05 * np.random.default_rng(1).standard_normal(len(problem.start))
    _, gradient = problem.loss(parameters)
    for place in range(0, len(parameters), 13):
        step = np.zeros(len(parameters))
        step[place] = 1e-5
        slope = (problem.loss(parameters + step)[0] - problem.loss(parameters - step)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=2e-3, abs=2e-4)


def test_left_out_errors_are_those_of_a_fit_without_the_block():
    corpus = some_corpus(60)
    blocks = training.fabric_blocks(corpus)
    places, error, deviation = training.left_out(corpus, blocks, np.concatenate([prior().mean, START]))
    block = max(blocks, key=lambda one: len(one.places))
    kept = np.ones(len(corpus.log_us), dtype=bool)
    kept[block.places] = False
    design = Design(corpus.settings, corpus.points.which, corpus.sizes)
    residual = corpus.log_us - log_microseconds(prior().mean, design)
    covariance = Covariance(Features(corpus.settings), decode(START))
    mean, spread = krige(
        covariance, corpus.points.take(kept), residual[kept], corpus.points.take(block.places)
    )
    order = {place: number for number, place in enumerate(places.tolist())}
    mine = [order[place] for place in block.places.tolist()]
    assert np.allclose(error[mine], residual[block.places] - mean, atol=1e-8)
    assert np.allclose(deviation[mine], spread, rtol=1e-6)


def test_the_shipped_parameters_are_complete_and_halves_differ():
    for family in LIBRARIES:
        halves = half_of(shipped(family))
        assert 0.4 < halves.mean() < 0.6
        for basis in BASES:
            shape = fitted(family, basis)
            assert all(len(values) == len(prior().mean) + len(START) for values in shape.halves)
            low, high = shape.interval["all"]
            assert low < 0 < high
            assert not np.allclose(shape.unseen(0)[0], shape.unseen(1)[0])


def test_a_measured_column_changes_no_prediction():
    """The shipped points are predicted without themselves, whatever their file says of results."""
    row = next(row for row in ROWS if row.series_id == "nccltests309-h100-ib-2n" and row.size_bytes == 2**20)
    lied = replace(row, time_s=1.0, time_in_place_s=2.0, notes=row.notes + "; SPIKE: x", case_id="other")
    predictor = Predictor()
    honest, other = predictor.predict([(of_row(row), row.size_bytes), (of_row(lied), row.size_bytes)])
    assert honest == other


def test_a_shipped_point_is_predicted_without_itself(monkeypatch):
    """Take the point out of the corpus: nothing changes."""
    row = next(
        row for row in ROWS if row.series_id == "aic-h100_sxm-all_reduce-8" and row.size_bytes == 2**20
    )
    setting = of_row(row)
    whole = Predictor().predict([(setting, row.size_bytes)])[0]
    kept = corpus_of(r for r in ROWS if family_of(r.library) == "library" and r is not row)
    monkeypatch.setattr("simulator.calibration.predictor.shipped", lambda _: kept)
    monkeypatch.setattr("simulator.calibration.predictor._Pool.half_of", lambda *_: half_of_row(row))
    without = Predictor().predict([(setting, row.size_bytes)])[0]
    assert without.time_s == pytest.approx(whole.time_s, rel=1e-6)
    assert without.basis == whole.basis == "calibrated"


def half_of_row(row) -> int:
    from simulator.calibration.fitted import half

    return half(of_row(row), row.size_bytes)


def test_bases_are_told_apart():
    row = next(row for row in ROWS if row.series_id == "echo-a100-ndv4-ar-64")
    setting = of_row(row)
    asked = [
        setting,
        replace(setting, gpus=256, domains=32, series="", source="me"),
        replace(setting, gpu="h800", family="hopper", series="", source="me"),
    ]
    assert [p.basis for p in Predictor().predict([(one, 2**20) for one in asked])] == list(BASES)


def test_one_gpu_costs_nothing_and_intervals_hold_their_prediction():
    predictor = Predictor()
    alone = replace(of_row(ROWS[0]), gpus=1, domains=1, per_domain=1.0, transport="")
    assert predictor.predict([(alone, 2**20)])[0].time_s == 0
    for answer in predictor.predict([(of_row(row), row.size_bytes) for row in SOME]):
        assert 0 < answer.low_s < answer.time_s < answer.high_s


def test_the_shipped_accuracy_has_not_become_worse():
    """Bounds a little above what was measured, so that a fit that is worse is seen; the goals are beside."""
    found = accuracy()["library"]
    assert found["calibrated"]["mean_error"] <= 0.065  # goal 0.04, missed
    assert found["scaled"]["mean_error"] <= 0.16  # goal 0.15, missed
    assert found["catalogue"]["mean_error"] <= 0.25  # the goal
    assert all(0.85 <= found[basis]["coverage"] <= 0.95 for basis in BASES)  # the goal


def test_what_was_fitted_is_of_these_measurements_and_these_parameters():
    made = tomllib.loads(text("fitted.toml"))
    assert made["corpus_sha256"] == corpus_hash()
    assert made["names"] == [f"{table}.{key}" for table, key in prior().names] + list(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mpi", "kernel"])
def test_fitting_and_scoring_again_gives_the_shipped_accuracy(family):
    corpus = shipped(family)
    points, _ = train.score(corpus, "calibrated", train._folds(corpus)["calibrated"])
    again = referee.summary(points)
    assert again == pytest.approx(
        {key: value for key, value in accuracy()[family]["calibrated"].items() if key in again}, rel=0.02
    )


def test_predictions_of_shipped_points_without_themselves_are_as_good_as_stated():
    answers = Predictor().predict([(of_row(row), row.size_bytes) for row in SOME])
    error = np.array([abs(a.time_s / row.time_s - 1) for a, row in zip(answers, SOME, strict=True)])
    assert np.median(error) < 0.06
    assert error.mean() < 0.2
