"""The errors, and how people write quantities: each fault one sentence, each value converted exactly."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import (
    CheckError,
    CommsimError,
    Fault,
    InfeasibleError,
    InputError,
    UsageError,
    nearest,
    unknown,
)
from simulator.quantities import COUNT, DURATION, PERCENT, RATE, SIZE, Quantity, values

QUANTITIES = {"size": SIZE, "rate": RATE, "duration": DURATION, "percentage": PERCENT, "count": COUNT}


def test_each_class_has_the_exit_status_of_the_contract():
    assert [e.status for e in (UsageError, InfeasibleError, CheckError, InputError)] == [2, 3, 4, 5]
    assert len({e.code for e in CommsimError.__subclasses__() if e.__module__ == "simulator.errors"}) == 4


def test_the_first_fault_and_the_count_stand_in_the_message_and_nine_more_below():
    faults = [Fault(f"fault {i}", f"line {i}") for i in range(20)]
    error = InputError("a.json", faults)
    assert error.message == "a.json: line 0: fault 0 (and 19 more faults)"
    assert len(error.details) == 9
    assert error.details[0] == "line 1  fault 1"
    assert InputError("a", faults[:2]).message.endswith("(and 1 more fault)")
    assert InputError("a", "is empty").message == "a: is empty"


def test_an_unknown_name_is_answered_by_the_nearest_and_where_all_are():
    names = ["h100-sxm5", "h100-pcie", "a100-sxm4-80gb", "k80", "t4", "l40s"]
    error = unknown("gpu", "h100-smx5", names, listing="commsim list gpus")
    assert error.hint.startswith("h100-sxm5")
    assert error.hint.endswith("(all: commsim list gpus)")
    assert unknown("gpu", "zzzzzz", names, listing="commsim list gpus").hint == "commsim list gpus"
    assert unknown("fold", "zzzzzz", ["on", "off"]).hint == "on, off"
    assert len(nearest("h100", [f"h100-{i}" for i in range(50)])) == 3


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (SIZE, "64MiB", 64 * 2**20),
        (SIZE, "64MB", 64_000_000),
        (SIZE, "1048576", 1048576),
        (SIZE, "1e6", 1_000_000),
        (SIZE, "1.5KiB", 1536),
        (SIZE, "0", 0),
        (SIZE, " 8 GiB ", 2**33),
        (RATE, "400Gbps", 50e9),
        (RATE, "50GB/s", 50e9),
        (RATE, "1GiB/s", 2**30),
        (RATE, "8 Mbit/s", 1e6),
        (DURATION, "1.5us", 1.5e-6),
        (DURATION, "1.5µs", 1.5e-6),
        (DURATION, "0s", 0),
        (DURATION, "2h", 7200),
        (PERCENT, "12%", 0.12),
        (PERCENT, "0.5 %", 0.005),
        (COUNT, "8", 8),
    ],
)
def test_what_people_write(quantity: Quantity, text: str, value: float):
    assert quantity.read(text) == value
    assert isinstance(quantity.read(text), int) == quantity.whole


NO_QUANTITY = [
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "many",
    "0x10",
    "1_000",
    "1,5",
    "5 5",
    "٣",
    "²",
    "1e",
    "--",
]


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
@pytest.mark.parametrize("number", [*NO_QUANTITY, "1e999", "1e99999", "9" * 70, "9" * 5000, "-1"])
def test_what_is_no_quantity(quantity: Quantity, number: str):
    unit = quantity.example.lstrip("0123456789.")
    for text in (number, number + unit):
        with pytest.raises(ValueError, match=r"^'.*' (is|has) [^.\n]*$"):
            quantity.read(text)


@pytest.mark.parametrize(
    ("quantity", "text", "fault", "hint"),
    [
        (RATE, "400", "has no unit", "400Gbps"),
        (RATE, "0Gbps", "too small", "400Gbps"),
        (RATE, "5us", "unknown unit 'us'", "400Gbps"),
        (DURATION, "5", "has no unit", "5us"),
        (DURATION, "-5us", "negative", "1.5us"),
        (PERCENT, "0.12", "has no unit", "0.12%"),
        (SIZE, "8M", "unknown unit 'M'", "64MiB"),
        (SIZE, "0.3KiB", "not a whole number of bytes", "64MiB"),
        (SIZE, "2EiB", "unknown unit", "64MiB"),
        (SIZE, "1e30", "too large", "64MiB"),
        (COUNT, "0", "too small", "8"),
        (COUNT, "1.5", "not a whole number", "8"),
    ],
)
def test_what_is_wrong_and_what_to_type_instead(quantity: Quantity, text: str, fault: str, hint: str):
    with pytest.raises(ValueError, match=fault):
        quantity.read(text)
    assert quantity.hint(text) == hint


@given(amount=st.integers(1, 10**6), quantity=st.sampled_from([SIZE, RATE, DURATION]), data=st.data())
def test_every_unit_converts_exactly(amount: int, quantity: Quantity, data: st.DataObject):
    unit = data.draw(st.sampled_from(sorted(quantity.units)))
    exact = Fraction(amount) * quantity.units[unit]
    if quantity.smallest <= exact <= quantity.largest and (exact.denominator == 1 or not quantity.whole):
        assert quantity.read(f"{amount}{unit}") == (int(exact) if quantity.whole else float(exact))


@given(text=st.text(max_size=30))
def test_any_text_is_a_finite_value_or_one_sentence_of_ours(text: str):
    for quantity in QUANTITIES.values():
        try:
            value, fault = quantity.read(text), ""
        except ValueError as error:
            value, fault = 0.0, str(error)
        assert math.isfinite(value)
        assert fault == "" or fault.startswith(f"'{text[:40]}")  # names what was typed


@pytest.mark.parametrize(
    ("text", "quantity", "expected"),
    [
        ("64,128,256", COUNT, (64, 128, 256)),
        ("64..512", COUNT, (64, 128, 256, 512)),
        ("64..256+64", COUNT, (64, 128, 192, 256)),
        ("1..1", COUNT, (1,)),
        ("8, 16..32 ,24,16", COUNT, (8, 16, 32, 24)),
        ("8B..64B", SIZE, (8, 16, 32, 64)),
        ("1KiB..3KiB+1KiB", SIZE, (1024, 2048, 3072)),
    ],
)
def test_sweeps(text: str, quantity: Quantity, expected: tuple[float, ...]):
    assert values(text, quantity) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "64,",
        "64..",
        "..64",
        "64..32",
        "3..64",
        "4..65",
        "1..64+0",
        "1..1000000000+1",
        "8..16..32",
        "a..b",
    ],
)
def test_no_sweeps(text: str):
    with pytest.raises(ValueError, match="'"):
        values(text, COUNT)
