"""Which software ran a row: by its source or its words, refined by public recipes and by the row's notes."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.case import Stack
from simulator.calibration.steps.words import Row, cell, matches

UNKNOWN = "megatron-lm"  # what a row of an unknown source is taken to have run
_OF_STACK = {one.name for one in fields(Stack)}
_META = {"sources", "words", "group", "dates", "year", "source", "notes"}
_RULE_META = {"set", "source", "why", "words", "from", "until"}
_NOTES: tuple[tuple[str, str, Any], ...] = (
    (r"TP comm overlap off", "tp_overlap", "none"),
    (r"TP comm overlap on", "tp_overlap", "userbuffers"),
    (r"vanilla TP", "tp_overlap", "none"),
    (r"[Aa]sync ?TP", "tp_overlap", "async"),
    (r"p2p overlap off", "p2p_overlap", False),
    (r"p2p overlap on", "p2p_overlap", True),
    (r"grad/param sync overlapped", "grad_overlap", True),
    (r"bf16 grad reduce", "grad_bytes", 2.0),
    (r"Muon optimizer", "optimizer", "muon"),
    (r"force-balanced", "balanced", True),
    (r"tokendrop|token drop", "dropless", False),
    (r"dropless", "dropless", True),
    (r"torch\.compile|compile\+", "fusion", "compiled"),
    (r"\beager\b", "fusion", "eager"),
    (r"\bSP on\b|sequence parallel on", "sequence_parallel", True),
    (r"\bSP off\b|sequence parallel off", "sequence_parallel", False),
)


@dataclass(slots=True)
class Settings:
    """What is known of a run beside the columns of its row, and who says so.

    Attributes
    ----------
    values : dict
        Fields of `Stack`; ``micro_batch vp recompute recompute_modules recompute_layers strategy shard etp
        mtp sequence_parallel chunks`` for what the row leaves blank; ``strategy_is`` and ``model_is`` for
        what a recipe says against the row or the catalogue.
    says : dict
        Field to the address that states it.
    group : str
        What is left out together.
    """

    values: dict[str, Any]
    says: dict[str, str] = field(default_factory=dict)
    group: str = ""

    def stack(self) -> Stack:
        """Return the software."""
        known = {key: value for key, value in self.values.items() if key in _OF_STACK}
        known |= {key: float(known[key]) for key in ("bucket", "grad_bytes", "param_bytes") if key in known}
        return Stack(**known)


@cache
def _file() -> dict[str, Any]:
    text = (files("simulator.calibration") / "data" / "training" / "stacks.toml").read_text("utf-8")
    return tomllib.loads(text)


def groups() -> dict[str, str]:
    """Return the group of each source that the table of stacks names."""
    return {name: one["group"] for one in _file()["stack"] for name in one.get("sources", ())}


def settings(row: Row, facts: Mapping[str, Any], assumed: list[str]) -> Settings:
    """Return the software of a row and what recipes say of its blanks.

    Parameters
    ----------
    row : mapping of str to str
        A row of the table; its measured columns are not looked at.
    facts : mapping
        What rules choose by: ``model gpu precision task hidden gpus tp pp vp cp ep dp`` and others.
    assumed : list of str
        A sentence is added if the software is a guess.
    """
    base = _base(row, assumed)
    found = Settings(
        {key: value for key, value in base.items() if key not in _META}, group=base.get("group", "")
    )
    found.group = found.group or cell(row, "source") or "unnamed"
    found.values["version"], released = _version(row, base)
    found.values["released"] = released
    facts = {**facts, "stack": base["family"], "source_name": cell(row, "source")}
    for rule in _file().get("rule", ()):
        if _applies(rule, facts, released, cell(row, "notes") + " " + cell(row, "model")):
            found.values |= rule["set"]
            found.says |= dict.fromkeys(rule["set"], rule["source"])
    _read_notes(cell(row, "notes"), found)
    if cell(row, "precision").lower().endswith("(fp32 grad accum)"):
        found.values["grad_bytes"] = 4.0
    return found


def looked_at(
    family: str, source: str, facts: Mapping[str, Any], open_facts: Iterable[str]
) -> tuple[str, ...]:
    """Return which facts still decide what software a run has, of those that are not settled yet.

    Parameters
    ----------
    family, source : str
        Of the stack; the name of the row's source.
    facts : mapping
        What is settled, as for `settings`.
    open_facts : iterable of str
        Names of what is not.
    """
    settled = {**facts, "stack": family, "source_name": source}
    wanted = set(open_facts)
    found: set[str] = set()
    for rule in _file().get("rule", ()):
        keys = {key for key in rule if key not in _RULE_META}
        if all(matches(rule[key], settled.get(key)) for key in keys - wanted):
            found |= keys & wanted
    return tuple(sorted(found))


def _base(row: Row, assumed: list[str]) -> dict[str, Any]:
    source = cell(row, "source")
    for one in _file()["stack"]:
        if source in one.get("sources", ()):
            return dict(one)
    text = f"{source} {cell(row, 'notes')} {cell(row, 'zero_or_fsdp')}".lower()
    for one in _file()["stack"]:
        if word := next((word for word in one.get("words", ()) if word in text), ""):
            assumed.append(f"software {one['family']}: the row says '{word}'")
            return {**one, "group": ""}
    found = next(one for one in _file()["stack"] if one["family"] == UNKNOWN)
    assumed.append(f"software not named: taken as {UNKNOWN} of {found['released']:.0f}")
    return {**found, "group": ""}


def _version(row: Row, base: Mapping[str, Any]) -> tuple[str, float]:
    """Return the version as printed and its date as a year with a fraction."""
    pattern = base.get("version")
    found = re.search(str(pattern), cell(row, "notes")) if pattern else None
    if not found:
        return "", float(base["released"])
    printed = found[1]
    if printed in base.get("dates", {}):
        return printed, float(base["dates"][printed])
    numbers = [int(part) for part in re.findall(r"\d+", printed)]
    if "year" in base:
        return f"{base['year']}-{printed}", base["year"] + (numbers[0] - 1 + (numbers[1] - 1) / 31) / 12
    return printed, _date(printed)


def _date(version: str) -> float:
    """Return a version that names year and month, ``26.04.01`` or ``v25.05``, as a year with a fraction."""
    year, month, *patch = (int(part) for part in re.findall(r"\d+", version))
    return 2000 + year + (month - 1 + (patch[0] if patch else 0) / 10) / 12


def _applies(rule: Mapping[str, Any], facts: Mapping[str, Any], released: float, text: str) -> bool:
    first, last = (
        _date(rule[key]) if key in rule else edge for key, edge in (("from", 0.0), ("until", 9999.0))
    )
    if not first <= released < last:
        return False
    if "words" in rule and not any(word in text.lower() for word in rule["words"]):
        return False
    return all(matches(value, facts.get(key)) for key, value in rule.items() if key not in _RULE_META)


def _read_notes(notes: str, found: Settings) -> None:
    for pattern, key, value in _NOTES:
        if re.search(pattern, notes):
            found.values[key] = value
            found.says.pop(key, None)
    if size := re.search(r"bucket (\d+)\s*MB", notes):
        found.values["bucket"] = float(size[1]) * 1e6
    if degree := re.search(r"\bETP=(\d+)", notes):
        found.values["etp"] = int(degree[1])
