"""``commsim list``: what is in the catalogue, at a glance."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import click

from simulator.cli._kinds import KindType, kinds, names, rows
from simulator.cli._options import form_options
from simulator.cli._output import emit
from simulator.reports.tables import WIDTH, Column, lay_out

_LAST = ("checked", "from")
_LEFT_OUT = ("vendor", "year", "source", "notes", *_LAST)


@click.command()
@click.argument("kind", type=KindType(), required=False)
@form_options
def command(kind: str | None) -> None:
    """List the things of one KIND, or the kinds.

    Numbers that nobody has seen in their source are marked as unverified; `commsim show KIND NAME` and
    `--json` give the sources in full.
    """
    if kind is None:
        found: list[dict[str, Any]] = [{"name": kind, "things": len(names(kind))} for kind in kinds()]
    else:
        found = rows(kind)
    emit({"rows": found}, lambda: table(found))


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines: the name, as many numbers and then words as fit, how far these can be trusted."""
    short = [dict(row) | trust(row) for row in found]
    keys = list(dict.fromkeys(key for row in short for key in row))
    if "about" in keys:
        return lay_out(short, [Column(key) for key in ("name", "checked", "about") if key in keys])
    last = [key for key in _LAST if key in keys]
    keys = [key for key in keys if key not in _LEFT_OUT]
    chosen = {"name"}
    for key in sorted(keys, key=lambda key: -sum(isinstance(row.get(key), (int, float)) for row in short)):
        wider = [name for name in keys if name in chosen | {key}]
        if max(map(len, lay_out(short, [Column(name) for name in wider + last], sys.maxsize))) <= WIDTH:
            chosen.add(key)
    return lay_out(short, [Column(key) for key in keys if key in chosen] + [Column(key) for key in last])


def trust(row: Mapping[str, Any]) -> dict[str, str]:
    """Return whether a row's numbers were seen, and on whose page."""
    if "source" not in row:
        return {}
    first = str(row["source"]).split(" ; ")
    site = ".".join(urlsplit(first[0]).netloc.split(".")[-2:]) or first[0]
    more = f" +{len(first) - 1}" if len(first) > 1 else ""
    return {"checked": "read" if row.get("checked") == "read" else "unverified", "from": site + more}
