"""Graph files as an attacker or a bad disk would have them: read or refused, in bounded time and memory."""

import contextlib
import subprocess
import sys
import time

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_graph_files import written
from topologies import _fabrics
from topologies._graph import gpu_nodes
from topologies.from_file import FORMATS, GraphFault, build


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.text(max_size=200))
def test_any_text_is_read_or_refused(form, text):
    with contextlib.suppress(GraphFault):
        assert gpu_nodes(build(text, form))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 10**6), st.integers(0, 30), st.text(max_size=8))
def test_any_damage_is_read_or_refused(form, place, length, patch):
    text = written(_fabrics.build("ring-100g", 4), form)
    place %= len(text)
    with contextlib.suppress(GraphFault):
        graph = build(text[:place] + patch + text[place + length :], form)
        assert all(edge["bandwidth_Bps"] > 0 for *_, edge in graph.edges(data=True))
        assert {("gpu", 0)} | nx.descendants(graph, ("gpu", 0)) >= set(gpu_nodes(graph))


BOMBS = {
    "nodes": ("json", "'{\"nodes\": [' + '{},' * 1_000_001 + '{}]}'"),
    "lists": ("json", "'[' + '[],' * 9_000_000 + '[]]'"),
    "keys": ("json", "'{' + ','.join(f'\"{i}\":1' for i in range(1_000_000)) + '}'"),
    "elements": ("graphml", "'<graphml>' + '<a/>' * 2_100_000 + '</graphml>'"),
    "attributes": ("graphml", "'<graphml ' + ' '.join(f'a{i}=\"\"' for i in range(1_000_000)) + '/>'"),
    "words": ("gml", "'graph [ ' + 'a 1 ' * 2_100_000 + ']'"),
    "blanks": ("gml", "' ' * (33 * 2**20)"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_in_time_and_memory(bomb):
    form, text = BOMBS[bomb]
    program = (
        "import resource\nfrom topologies.from_file import GraphFault, build\n"
        f"text = {text}\n"
        f"try:\n    build(text, {form!r})\nexcept GraphFault:\n    print('refused')\n"
        "try:\n    told = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "except OSError:\n    told = []\n"
        # ru_maxrss counts what the parent had when it forked
        "print(told[0].split()[1] if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, peak = done.stdout.split()
    assert said == "refused"
    assert int(peak) < 2**20  # KiB
    assert time.perf_counter() - start < 120  # s; a tenth of that on an idle core
