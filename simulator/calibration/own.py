"""A user's own measurements as points for the predictor, and the settings that its questions are about."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from simulator.calibration.corpus import Corpus, corpus_of
from simulator.calibration.logs._log import LogRow
from simulator.calibration.setting import Setting, of_fabric, of_row
from simulator.profile import Profile, Series

Attributes = Callable[[int], Mapping[str, Any]]
"""Attributes of the fabric's graph with so many GPUs."""


def corpus_of_profile(profile: Profile, attributes: Attributes) -> Corpus:
    """Return the measured points of a profile."""
    rows: list[LogRow] = []
    settings: dict[str, Setting] = {}
    for number, series in enumerate(profile.series):
        name = f"{profile.name}/{number}"
        settings[name] = replace(_measured(profile, series, attributes), series=name)
        again = series.in_place or [None] * len(series.sizes)
        rows += [
            LogRow(
                op=series.op,
                gpus=series.gpus,
                size_bytes=size,
                time_s=seconds,
                time_in_place_s=repeat,
                series_id=name,
                line=0,
            )
            for size, seconds, repeat in zip(series.sizes, series.times_s, again, strict=True)
        ]
    return corpus_of(rows, lambda row: settings[row.series_id])


def asked(profile: Profile, op: str, gpus: int, attributes: Attributes) -> Setting:
    """Return the setting of a question about a profile's fabric; that of a series if one was measured so."""
    same = [series for series in profile.series if (series.op, series.gpus) == (op, gpus)]
    if same:
        return _measured(profile, same[0], attributes)
    like = min(profile.series, key=lambda series: (series.op != op, abs(series.gpus - gpus)))
    return _measured(profile, replace(like, op=op, gpus=gpus, nodes=_nodes(like, gpus)), attributes)


def _nodes(like: Series, gpus: int) -> int | None:
    return -(-gpus // like.gpus_per_node) if like.gpus_per_node else None


def _measured(profile: Profile, series: Series, attributes: Attributes) -> Setting:
    told = LogRow(
        op=series.op,
        gpus=series.gpus,
        nodes=series.nodes,
        gpus_per_node=series.gpus_per_node and min(series.gpus_per_node, series.gpus),
        size_bytes=0,
        time_s=None,
        dtype=series.dtype,
        algorithm_forced=series.algorithm_forced,
        protocol_forced=series.protocol_forced,
        library=series.library,
        library_version=series.library_version,
        gpu=series.gpu,
        intra_link=series.intra_link,
        inter_link=series.inter_link,
        source=profile.name,
        line=0,
    )
    if profile.fabric:
        base = of_fabric(attributes(series.gpus), series.op, series.gpus)
        base = replace(
            base,
            library=series.library or base.library,
            library_version=series.library_version,
            dtype=series.dtype,
            algorithm=series.algorithm_forced,
            protocol=series.protocol_forced,
            source=profile.name,
        )
    else:
        base = _by_words(told)
    return replace(base, fabric_name=profile.name, assumed=())


def _by_words(told: LogRow) -> Setting:
    """Return the setting of a log that nobody gave a fabric for; links that it does not name are unstated."""
    try:
        return of_row(told)
    except ValueError:
        return of_row(replace(told, intra_link=told.intra_link or "NVLink 300 GB/s", nodes=told.nodes or 1))
