"""A notebook beside a folder of results, its path filled in: the table, what it holds, and pictures to go on from."""

import json
from pathlib import Path
from typing import Any

_CELLS: tuple[tuple[str, str], ...] = (
    ("markdown", "# {title}\n\nMade by `{command}`. The columns are those of `--json`; times in s, bytes, USD, J."),
    (
        "code",
        "import matplotlib.pyplot as plt\nimport pandas as pd\n\nfrom simulator.reports.html_pictures import PICTURES\n\n"
        "rows = pd.read_csv({path!r})\nrows",
    ),
    ("markdown", "## What cannot be, and why"),
    (
        "code",
        'refused = rows[rows["status"] == "refused"] if "status" in rows else rows.iloc[:0]\n'
        'refused.groupby("reason").size().sort_values(ascending=False) if len(refused) else "nothing was refused"',
    ),
    ("markdown", "## Pictures"),
    (
        "code",
        "for picture in PICTURES:\n    if picture.there(rows):\n        _, axes = plt.subplots(figsize=(8, 4.2), "
        'layout="constrained")\n        picture.draw(rows, axes).set_title(picture.title, loc="left")\nplt.show()',
    ),
    ("markdown", "## Go on\n\nFilter with `rows.query(...)`, compare with `rows.pivot_table(...)`."),
    (
        "code",
        'numbers = rows.select_dtypes("number")\n'
        "numbers.loc[:, numbers.nunique() > 1].describe().T",
    ),
)  # fmt: skip


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
