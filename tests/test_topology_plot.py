"""Pictures of fabrics: everything that is shown is there once, what is not shown is said."""

import io
import re

import matplotlib.figure
import pytest

from simulator.reports._topology_layout import is_layered, place
from simulator.reports.topology_plot import draw
from topologies import _fabrics

CASES = [
    ("ring-100g", 12), ("tree-100g", 8), ("star-100g", 8), ("parameter-server-100g", 8), ("dgx-1v", 8),
    ("dgx-h100", 8), ("gb200-nvl72", 72), ("pcie-box-a100", 8), ("mi300x", 8), ("leaf-spine-400g", 32),
    ("fat-tree-100g", 16), ("dgx-h100-ib400", 16), ("torus-2d-100g", 16), ("tpu-v4", 64),
    ("dragonfly-100g", 72), ("wide-area-10g", 8), ("polaris", 16),
    ("dgx-1v-ib100", 16), ("ring-100g", 1), ("ring-100g", 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "gpus"), CASES)
def test_every_family_has_a_picture(name, gpus):
    graph = _fabrics.build(name, gpus)
    axes = draw(graph)
    assert f"{name}: {gpus} GPU" in axes.get_title(loc="left")
    picture = io.BytesIO()
    axes.figure.savefig(picture, format="png", dpi=40)
    assert picture.tell() > 2000


@pytest.mark.parametrize(
    ("name", "gpus"), [case for case in CASES if case[0] not in ("gb200-nvl72", "polaris")]
)
def test_no_two_nodes_share_a_place(name, gpus):
    graph = _fabrics.build(name, gpus)
    places = place(graph)
    assert set(places) == set(graph)
    spots = sorted(places.values())
    assert len({(round(x, 2), round(y, 2)) for x, y in spots}) == len(spots)


@pytest.mark.parametrize(("name", "gpus"), [("dgx-h100-ib400", 1024), ("tpu-v4", 4096), ("ring-100g", 500)])
def test_large_fabric_is_folded_and_says_so(name, gpus):
    axes = draw(_fabrics.build(name, gpus))
    (note,) = (text.get_text() for text in axes.texts if text.get_text().startswith("shown: "))
    shown, whole = re.search(r"([\d,]+) of ([\d,]+) GPUs", note).groups()
    assert int(whole.replace(",", "")) == gpus
    marks = [line for line in axes.lines if line.get_marker() == "s"]
    assert len(marks) == int(shown) <= 72


def test_small_fabric_is_whole():
    graph = _fabrics.build("dgx-h100-ib400", 16)
    axes = draw(graph)
    assert len(axes.lines) == len(graph)
    assert len(axes.collections[0].get_segments()) == graph.number_of_edges() // 2
    assert not [text for text in axes.texts if text.get_text().startswith("shown")]


def test_faster_links_are_thicker():
    axes = draw(_fabrics.build("wide-area-10g", 8))
    widths = {text.get_text(): line.get_linewidth() for text, line in legend(axes) if "/s" in text.get_text()}
    assert widths["1.25 GB/s"] < widths["12.5 GB/s"] < widths["50 GB/s"]


def legend(axes):
    return zip(axes.get_legend().get_texts(), axes.get_legend().legend_handles, strict=True)


def test_draws_into_the_axes_it_is_given():
    axes = matplotlib.figure.Figure().add_subplot()
    assert draw(_fabrics.build("star-100g", 4), axes) is axes


def test_kinds_are_told_apart_by_shape():
    axes = draw(_fabrics.build("dgx-h100-ib400", 16))
    shapes = {
        text.get_text(): line.get_marker() for text, line in legend(axes) if "/s" not in text.get_text()
    }
    assert len(set(shapes.values())) >= 4
    assert shapes["16 GPUs"] == "s"


def test_layers_are_for_networks_of_machines():
    assert is_layered(_fabrics.build("polaris", 8))
    assert not is_layered(_fabrics.build("dragonfly-100g", 8))
