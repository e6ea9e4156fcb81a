"""What was measured, by fabric: a summary of the shipped runs that needs the standard library only."""

import csv
import io
import tomllib
from collections import Counter
from importlib.resources import files
from typing import Any


def text(name: str) -> str:
    """Return one of the files that the measurements ship in."""
    return (files("simulator.calibration") / "data" / name).read_text("utf-8")


def profiles() -> dict[str, dict[str, Any]]:
    """Return each measured fabric with its GPU counts, operations, points, sources and licences."""
    series = {row["series_id"]: row for row in csv.DictReader(io.StringIO(text("series.csv")))}
    points = Counter(row["series_id"] for row in csv.DictReader(io.StringIO(text("points.csv"))))
    licences = {one["name"]: one for one in tomllib.loads(text("sources.toml"))["source"]}
    return {
        name: _summary([series[one] for one in listed], sum(points[one] for one in listed), licences)
        for name, listed in sorted(tomllib.loads(text("splits.toml"))["fabrics"].items())
    }


def _summary(rows: list[dict[str, str]], points: int, licences: dict[str, dict[str, Any]]) -> dict[str, Any]:
    sources = sorted({row["source"] for row in rows})
    return {
        "gpu": ", ".join(sorted({row["gpu"] for row in rows} - {""})),
        "intra_link": "; ".join(sorted({row["intra_link"] for row in rows} - {""})),
        "inter_link": "; ".join(sorted({row["inter_link"] for row in rows} - {""})),
        "gpus": sorted({int(row["gpus"]) for row in rows}),
        "ops": sorted({row["op"] for row in rows}),
        "libraries": sorted({row["library"] for row in rows}),
        "series": len(rows),
        "points": points,
        "checked": "read",
        "source": " ; ".join(
            f"{name} ({licences[name]['licence']}) {' '.join(licences[name]['urls'])}".strip()
            for name in sources
        ),
    }
