"""Pictures of times: what the frame says is what is drawn."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from simulator.reports.plots import against_gpus, time_against_size, winner_map

SIZES = [2**power for power in range(10, 31, 2)]


def frame(names=("ring", "tree"), ranks=(8, 16, 32), protocols=("LL", "Simple")):
    """Return invented times in which the tree is fast for what is small and the ring for what is large."""
    return pd.DataFrame(
        {
            "op": "all_reduce", "gpus": gpus, "size_bytes": size, "algorithm": name, "protocol": protocol,
            "time_s": (gpus if name == "ring" else 4) * 1e-6 * (3 if protocol == "Simple" else 1)
            + size * (1 if name == "ring" else 2) * (2 if protocol == "LL" else 1) / 50e9,
        }
        for gpus in ranks for size in SIZES for name in names for protocol in protocols
    )  # fmt: skip


def ticks(axis, low, high):
    """Return what stands at the ticks between two values."""
    axis.axes.figure.savefig(io.BytesIO(), format="png", dpi=40)
    return [
        label.get_text()
        for at, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        if low <= at <= high
    ]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes):
    """Return the words for each cell of a map, by its colour."""
    (mesh,) = axes.collections
    axes.figure.savefig(io.BytesIO(), format="png", dpi=40)
    words = {to_hex(p.get_facecolor()): p.get_label() for p in axes.get_legend().legend_handles}
    shape = mesh.get_array().shape
    return np.array([words[to_hex(colour)] for colour in mesh.get_facecolor()]).reshape(shape)


def test_each_cell_of_a_map_is_the_fastest_way():
    table = frame()
    cells = drawn(winner_map(table.sample(frac=1, random_state=1)))
    for row, gpus in enumerate((8, 16, 32)):
        for column, size in enumerate(SIZES):
            here = table[(table.gpus == gpus) & (table.size_bytes == size)]
            best = here.loc[here.time_s.idxmin()]
            assert cells[row, column] == f"{best.algorithm} {best.protocol}"
    assert len(set(cells.flat)) == 4


def test_a_map_needs_no_protocol_and_takes_frames_put_together():
    one, other = (frame([name], protocols=["Simple"]).drop(columns="protocol") for name in ("ring", "tree"))
    long = other.assign(algorithm="tree_all_reduce")
    cells = drawn(winner_map(pd.concat([one, long])))
    assert set(cells.flat) == {"ring", "tree"}


def test_an_algorithm_has_one_colour_in_every_picture():
    both, alone = winner_map(frame()), winner_map(frame(["ring"]))
    lines = time_against_size(frame(ranks=[8]))
    found = [
        {p.get_label(): to_hex(p.get_facecolor()) for p in axes.get_legend().legend_handles}
        for axes in (both, alone)
    ]
    colours = {line.get_label(): to_hex(line.get_color()) for line in lines.lines}
    assert found[0]["ring LL"] == found[1]["ring LL"] == colours["ring, LL"]
    assert len(set(found[0].values())) == 4


def test_a_map_of_one_point_and_of_none():
    assert drawn(winner_map(frame(["ring"], [8], ["LL"]).head(1))).tolist() == [["ring LL"]]
    with pytest.raises(ValueError, match="one operation, got none"):
        winner_map(frame().head(0))
    with pytest.raises(ValueError, match="all_reduce, broadcast"):
        winner_map(pd.concat([frame(), frame().assign(op="broadcast")]))


def test_axes_are_labelled_in_units_that_people_read():
    axes = time_against_size(frame(ranks=[8]))
    assert ticks(axes.xaxis, 2**10, 2**30) == ["4 KiB", "64 KiB", "1 MiB", "16 MiB", "256 MiB"]
    assert ticks(axes.yaxis, 9e-6, 2e-2) == ["10 us", "100 us", "1 ms", "10 ms"]
    axes = winner_map(frame())
    assert ticks(axes.yaxis, 1, 64) == ["8", "16", "32"]


def test_lines_bands_and_measured_points_are_those_of_the_frame():
    table = frame(["ring"], protocols=["LL"])
    table = table.assign(low_s=table.time_s * 0.8, high_s=table.time_s * 1.3, measured_s=table.time_s * 1.1)
    axes = time_against_size(table)
    assert legend(axes) == ["8 GPUs", "16 GPUs", "32 GPUs", "measured"]
    lines = {line.get_label(): line for line in axes.lines}
    for gpus, band in zip((8, 16, 32), axes.collections, strict=True):
        rows = table[table.gpus == gpus]
        assert lines[f"{gpus} GPUs"].get_ydata() == pytest.approx(rows.time_s.to_numpy())
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((rows.low_s.min(), rows.high_s.max()))
    dots = [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    assert sum(len(line.get_xdata()) for line in dots) == len(table)


def test_over_gpus_each_size_is_a_line():
    axes = against_gpus(frame(["ring"], protocols=["LL"]).query("size_bytes in [1024, 1048576]"))
    assert legend(axes) == ["1 KiB", "1 MiB"]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[8, 16, 32]] * 2


def test_given_axes_are_drawn_on_and_one_series_needs_no_legend():
    place = Figure().add_subplot()
    assert time_against_size(frame(["ring"], [8], ["LL"]), place) is place
    assert place.get_legend() is None
