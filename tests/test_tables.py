"""Tables and CSV: units in words, nothing cut, every digit kept."""

import pytest

from simulator.reports.tables import WIDTH, Column, cell, comma_separated, lay_out, printable


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "", "-"),
        (True, "", "yes"),
        (6.12e-5, "s", "61.2 us"),
        (0.0, "s", "0 s"),
        (7200, "s", "2 h"),
        (2**26, "B", "64 MiB"),
        (80e9, "B", "80 GB"),
        (361e9, "B/s", "361 GB/s"),
        (0.123, "%", "12.3 %"),
        (1e12, "FLOP/s", "1 TFLOP/s"),
        (183204, "", "183,204"),
        (2.7447, "USD", "2.74"),
        (1e-12, "s", "0.001 ns"),
        ("a\x1b[0m\n", "", r"a\x1b[0m\n"),
        ([1, 2], "", "1 2"),
    ],
)
def test_cells(value, unit: str, text: str):
    assert cell(value, unit) == text


def test_tables_wrap_words_and_cut_nothing():
    words = " ".join(f"word{i}" for i in range(60))
    lines = lay_out(
        [{"name": "x", "time_s": 1.5, "about": words}], [Column("name"), Column("time_s"), Column("about")]
    )
    assert lines[0].split() == ["name", "time", "about"]
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(" ".join(lines[1:]).split()).removeprefix("x 1.5 s ") == words
    url = "https://example.org/" + "x" * 200
    assert url in "\n".join(lay_out([{"a": url}], [Column("a")]))


def test_csv_keeps_every_digit_and_quotes_what_needs_it():
    rows = [{"a": 1 / 3, "b": 'x,"y"'}, {"a": None, "c": [1, 2]}]
    assert comma_separated(rows) == f'a,b,c\n{1 / 3!r},"x,""y""",\n,,"[1, 2]"\n'


def test_printable_leaves_letters_of_all_scripts():
    assert printable("Äλ中") == "Äλ中"
    assert printable("\u202e\x07") == r"\u202e\x07"
