"""Cells of a row as numbers, and the one way a row is refused."""

import math
import re
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, str]
MOST = {"layers": 2**14, "vp": 2**14, "hidden": 2**24, "heads": 2**20, "experts": 2**20}
MOST_OF_ALL = 2**40
"""Largest counts that are believed; what is beyond would only cost memory and time."""


class UnusableError(Exception):
    """A row that cannot be predicted; the message names the input and the fault."""


def cell(row: Row, column: str) -> str:
    """Return the text of a cell, empty if the row has no such column."""
    return " ".join((row.get(column) or "").split())  # a sentence about it stays one line


def number(row: Row, column: str) -> float | None:
    """Return a positive number, or None if the cell is blank.

    Raises
    ------
    UnusableError
        The cell holds something else.
    """
    text = cell(row, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UnusableError(f"{column} '{text:.40}' is no number") from None
    if not math.isfinite(value) or value <= 0:
        raise UnusableError(f"{column} {text:.40} must be a positive number")
    return value


def count(row: Row, column: str, default: int | None = None) -> int | None:
    """Return a whole number from 1 on, ``default`` if the cell is blank.

    Raises
    ------
    UnusableError
        The cell holds something else.
    """
    value = number(row, column)
    if value is None:
        return default
    if value != int(value):
        raise UnusableError(f"{column} {cell(row, column):.40} must be a whole number")
    if value > (most := MOST.get(column, MOST_OF_ALL)):
        raise UnusableError(f"{column} {cell(row, column):.40} is too large: at most {most}")
    return int(value)


def needed(row: Row, column: str, meaning: str) -> int:
    """Return a whole number that nothing can stand in for.

    Raises
    ------
    UnusableError
        The cell is blank or no whole number.
    """
    value = count(row, column)
    if value is None:
        raise UnusableError(f"{column} is blank: {meaning}")
    return value


def plain(text: str) -> str:
    """Return a name in lower case without its publisher, brackets and separators, but one between digits.

    >>> plain("meta-llama/Llama-2_70B (chat)"), plain("GPT 35B"), plain("GPT3-5B")
    ('llama2 70b', 'gpt35b', 'gpt3 5b')
    """
    name = text.lower().split("(")[0].split("/")[-1]
    name = re.sub(r"(?<=\d)[ _-]+(?=\d)", "|", name)
    return re.sub(r"[ _-]", "", name).replace("|", " ")


def matches(wanted: Any, have: object) -> bool:
    """Tell whether a value is the wanted one, or one of a list of them."""
    return have in wanted if isinstance(wanted, list) else have == wanted
