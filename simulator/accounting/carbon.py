r"""What a kWh weighs: grams of CO2 equivalent by the grid that it comes from, :math:`m = E \cdot CI` [1]_.

References
----------
.. [1] Patterson et al., Carbon emissions and large neural network training, arXiv:2104.10350: 1287 MWh at
   0.429 kg/kWh are 552 t.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A grid.

    Parameters
    ----------
    name : str
        Region.
    grams_per_joule : float
        CO2 equivalent.
    note : str
        Figure, year and source.
    """

    name: str
    grams_per_joule: float
    note: str


@cache
def grids() -> dict[str, Grid]:
    """Return the grids of the catalogue by region."""
    text = files("simulator.accounting").joinpath("data", "carbon.toml").read_text("utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: Grid(
            name=name,
            grams_per_joule=row["grams_per_kWh"] / JOULES_PER_KWH,
            note=f"{name}: {row['grams_per_kWh']:g} g/kWh, mean of {row['year']} ({row['source']})",
        )
        for name, row in rows.items()
    }


def grid(region: str = "", intensity: float | None = None) -> Grid | None:
    """Return the grid of a region, or one with a given intensity; None if neither is told.

    Parameters
    ----------
    region : str
        Of `grids`.
    intensity : float, optional
        Grams for a kWh, in place of the region's.

    Raises
    ------
    ValueError
        A region that nobody knows.
    """
    if intensity is not None:
        return Grid(
            name=region or "given",
            grams_per_joule=intensity / JOULES_PER_KWH,
            note=f"{intensity:g} g/kWh as given",
        )
    if not region:
        return None
    if region not in grids():
        raise ValueError(
            f"region '{region}': wanted one of {', '.join(grids())}, or --carbon-intensity 400g/kWh"
        )
    return grids()[region]
