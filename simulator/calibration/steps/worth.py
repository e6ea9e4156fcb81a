"""What an effect is worth: the errors that are left when it is off and everything else is fitted again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.corpus import Corpus
from simulator.calibration.steps.features import Features
from simulator.calibration.steps.fits import Line, line
from simulator.calibration.steps.fitting import Priors, fit
from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.switches import Switch

Floats = NDArray[np.float64]
_FELT = 0.005  # of a step's time: a run that an effect moves by more is counted as affected


class _Changed(Features):
    """Runs as sums of prices, those at some places of other cases or with ways of their own."""

    def __init__(self, base: Features, places: Sequence[int], others: Features) -> None:
        self._base, self._places, self._others = base, list(places), others

    def seconds(self, profile: Mapping[str, float]) -> Floats:
        """Return the seconds of every step."""
        found = self._base.seconds(profile)
        found[self._places] = self._others.seconds(profile)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What an effect is worth: errors with it off and all else fitted again.

    Attributes
    ----------
    unseen : float
        Mean error over runs, each group predicted without it.
    seen : float
        Mean error over the runs fitted on.
    runs : int
        How many the effect moves by more than half a percent.
    before, after : float or None
        Mean error of those among the runs fitted on, with and without the effect; None if there are none.
    """

    unseen: float
    seen: float
    runs: int
    before: float | None
    after: float | None


def worth(
    corpus: Corpus, features: Features, logs: Floats, prior: Priors, switch: Switch | None, times: Times
) -> Worth:
    """Return what is lost without an effect.

    Longest ways are found anew where the effect moves a run; left-out groups are fitted along straight lines,
    which moves their mean error by 0.1 points at most.

    Parameters
    ----------
    corpus : Corpus
        Runs that are fitted on and scored.
    features, logs
        The same as sums of prices, and the values fitted to them.
    prior : Priors
        What values are held to.
    switch : Switch or None
        The effect; None: nothing is switched off.
    times : Times
        Collectives.
    """
    without = switch.off(prior) if switch else prior
    whole = features.seconds(prior.profile(logs))
    if switch:
        features = _without(corpus, features, without.profile(logs), switch, times)
    felt = np.abs(features.seconds(without.profile(logs)) / whole - 1) > _FELT
    again = fit(features, corpus.seconds, corpus.weights, logs, prior=without)
    after = np.abs(features.seconds(without.profile(again)) / corpus.seconds - 1)
    before = np.abs(whole / corpus.seconds - 1)
    unseen = unseen_errors(corpus, features, line(features, again, without), without)
    return Worth(
        unseen=float(unseen.mean()),
        seen=float(after.mean()),
        runs=int(felt.sum()),
        before=float(before[felt].mean()) if felt.any() else None,
        after=float(after[felt].mean()) if felt.any() else None,
    )


def _without(
    corpus: Corpus, features: Features, profile: Mapping[str, float], switch: Switch, times: Times
) -> Features:
    """Return runs as sums of prices without an effect: those that it moves with ways of their own."""
    seconds = features.seconds(profile)
    others = [switch.case(case) if switch.case else case for case in corpus.cases]
    moved = np.abs(seconds / features.exact - 1) > _FELT
    places = [
        place
        for place, (case, other) in enumerate(zip(corpus.cases, others, strict=True))
        if moved[place] or other != case
    ]
    return _Changed(features, places, Features([others[place] for place in places], profile, times))


def unseen_errors(corpus: Corpus, features: Features, near: Line, prior: Priors) -> Floats:
    """Return the error of each run, fitted without its group along straight lines."""
    errors = np.empty(len(corpus.cases))
    for group in sorted(set(corpus.groups.tolist())):
        hidden = corpus.groups == group
        logs = near.fit(corpus, np.where(corpus.like(hidden), 0.0, corpus.weights), prior)
        seconds = features.seconds(prior.profile(logs))
        errors[hidden] = np.abs(seconds / corpus.seconds - 1)[hidden]
    return errors
