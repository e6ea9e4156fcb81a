"""A notebook beside a folder of results, its path filled in: the table, what it holds, and pictures to go on from."""

import json
from pathlib import Path
from typing import Any

_FRAME = """\
import matplotlib.pyplot as plt
import pandas as pd

from simulator.reports.html_pictures import PICTURES

rows = pd.read_csv({path!r})
rows"""
_REFUSED = """\
refused = rows[rows["status"] == "refused"] if "status" in rows else rows.iloc[:0]
refused.groupby("reason").size().sort_values(ascending=False) if len(refused) else "nothing was refused\""""
_PICTURES = """\
for picture in PICTURES:
    if picture.there(rows):
        _, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        picture.draw(rows, axes).set_title(picture.title, loc="left")
plt.show()"""
_NUMBERS = """\
numbers = rows.select_dtypes("number")
numbers.loc[:, numbers.nunique() > 1].describe().T"""
_CELLS: tuple[tuple[str, str], ...] = (
    (
        "markdown",
        "# {title}\n\nMade by `{command}`. Columns are those of `--json`; times in s, bytes, USD, J.",
    ),
    ("code", _FRAME),
    ("markdown", "## What cannot be, and why"),
    ("code", _REFUSED),
    ("markdown", "## Pictures"),
    ("code", _PICTURES),
    ("markdown", "## Go on\n\nFilter with `rows.query(...)`, compare with `rows.pivot_table(...)`."),
    ("code", _NUMBERS),
)


def explore(folder: Path, command: str) -> str:
    """Return the text of a notebook over the results of a folder.

    Parameters
    ----------
    folder : Path
        With ``results.csv``.
    command : str
        That made them.
    """
    path = str((folder / "results.csv").resolve())
    known = {"title": folder.name, "command": command.replace("`", "'"), "path": path}
    cells = [_cell(number, kind, text, known) for number, (kind, text) in enumerate(_CELLS)]
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return (
        json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
    )


def _cell(number: int, kind: str, text: str, known: dict[str, str]) -> dict[str, Any]:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value).replace(f"{{{name}!r}}", repr(value))
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
