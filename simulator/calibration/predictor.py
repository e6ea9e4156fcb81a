"""How long a collective will take, with an interval, and from what that is known.

The closed form of `mechanism` gives the level, `kriging` on measured points what it leaves over. What is measured of
the wanted setting decides the basis: ``calibrated`` (this very series), ``scaled`` (this fabric otherwise),
``catalogue`` (neither). A point that the measurements hold is predicted without it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky

from simulator.calibration import kriging
from simulator.calibration.corpus import Corpus, family_of, joined, shipped
from simulator.calibration.fitted import Fitted, fitted, half
from simulator.calibration.intervals import ends, regime
from simulator.calibration.kriging import COMPONENTS, Features, Points, decode
from simulator.calibration.mechanism import Design, log_microseconds
from simulator.calibration.setting import Setting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEIGHBOURS = 300  # measured points that one prediction is kriged on, the most alike first
_PRICED_AS = {"reduce": "broadcast", "gather": "all_to_all", "scatter": "all_to_all"}
_ALWAYS = (
    "op",
    "gpus",
    "domains",
    "per_domain",
    "gpu",
    "inside",
    "transport",
    "outside_Bps",
    "library",
    "fabric_name",
)
_IF_TOLD = ("library_version", "dtype", "algorithm", "protocol", "source", "notes", "series")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One predicted time.

    Attributes
    ----------
    time_s, low_s, high_s : float
        Median and 90 % interval, s.
    basis : str
        ``calibrated``, ``scaled`` or ``catalogue``.
    assumed : tuple of str
        What was not told and was filled in.
    """

    time_s: float
    low_s: float
    high_s: float
    basis: str
    assumed: tuple[str, ...] = ()


class Predictor:
    """Predictions from the shipped measurements and, if given, from a user's own.

    Parameters
    ----------
    own : Corpus, optional
        Measured points of the user's machine.
    """

    def __init__(self, own: Corpus | None = None) -> None:
        self._own = own
        self._pools: dict[str, _Pool] = {}

    def predict(self, wanted: Iterable[tuple[Setting, int]]) -> list[Prediction]:
        """Return the prediction of each setting and size in bytes, in order."""
        asked = list(wanted)
        found: list[Prediction | None] = [None] * len(asked)
        groups: dict[tuple[Setting, int | None], list[int]] = {}
        for place, (setting, size) in enumerate(asked):
            if setting.gpus == 1:
                found[place] = Prediction(time_s=0.0, low_s=0.0, high_s=0.0, basis="calibrated")
                continue
            pool = self._pool(family_of(setting.library))
            groups.setdefault((setting, pool.half_of(setting, size)), []).append(place)
        for (setting, part), places in groups.items():
            pool = self._pool(family_of(setting.library))
            answers = pool.predict(setting, part, [asked[place][1] for place in places])
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]

    def _pool(self, family: str) -> "_Pool":
        if family not in self._pools:
            own = self._own
            corpus = shipped(family)
            if own is not None:
                mine = np.array([family_of(s.library) == family for s in own.settings])[own.points.which]
                corpus = joined(corpus, own.take(mine))
            self._pools[family] = _Pool(family, corpus)
        return self._pools[family]


class _Pool:
    """The measured points of one family of libraries, and how they are looked up."""

    def __init__(self, family: str, corpus: Corpus) -> None:
        self.family = family
        self.corpus = corpus
        self.fabrics = {setting.fabric for setting in corpus.settings}
        self.sizes = np.rint(corpus.sizes).astype(np.int64)
        self.by_traits: dict[tuple[object, ...], list[int]] = {}
        for place, setting in enumerate(corpus.settings):
            self.by_traits.setdefault(_traits(setting, _ALWAYS), []).append(place)
        self.worked_out: dict[bytes, list[Floats]] = {}
        self.known_series = {setting.series for setting in corpus.settings}

    @cached_property
    def members(self) -> list[Ints]:
        """Return the points of each setting."""
        order = np.argsort(self.corpus.points.which, kind="stable")
        counts = np.bincount(self.corpus.points.which, minlength=len(self.corpus.settings))
        return np.split(order, np.cumsum(counts)[:-1])

    def same(self, setting: Setting) -> list[int]:
        """Return the measured settings that a wanted one may be: equal in all that it tells."""
        told = replace(setting, series=setting.series if setting.series in self.known_series else "")
        return [
            place
            for place in self.by_traits.get(_traits(setting, _ALWAYS), ())
            if all(
                getattr(told, name) in ("", getattr(self.corpus.settings[place], name)) for name in _IF_TOLD
            )
        ]

    def half_of(self, setting: Setting, size: int) -> int | None:
        """Return the half of the measurements that hold this very point, None if none does."""
        for place in self.same(setting):
            if size in self.sizes[self.members[place]]:
                return half(self.corpus.settings[place], size)
        return None

    def predict(self, setting: Setting, part: int | None, sizes: Sequence[int]) -> list[Prediction]:
        """Return predictions of one setting; ``part`` is the half that the points belong to."""
        same = self.same(setting)
        asked = replace(setting, op=_PRICED_AS.get(setting.op, setting.op))
        if same:
            asked = replace(asked, series=self.corpus.settings[same[0]].series)
        basis = "calibrated" if same else "scaled" if asked.fabric in self.fabrics else "catalogue"
        shape = fitted(self.family, basis)
        mean, deviation = self._krige(asked, shape.unseen(part), same, sizes)
        assumed = setting.assumed
        if asked.op != setting.op:
            assumed = (*assumed, f"{setting.op} as {asked.op}")
        return list(_answers(asked, sizes, mean, deviation, shape, basis, assumed))

    def _krige(
        self, asked: Setting, parameters: tuple[Floats, Floats], same: Sequence[int], sizes: Sequence[int]
    ) -> tuple[Floats, Floats]:
        """Return mean and deviation of log us at the sizes, each without the points that are itself."""
        base, values = parameters[0], decode(parameters[1])
        features = Features([*self.corpus.settings, asked])
        shared = self._shared(features, parameters[1], values)
        near = self._neighbours(np.sum([matrix[-1, :-1] for matrix in shared], axis=0))
        octave = np.log2(np.maximum(np.array(sizes, dtype=float), 1.0))
        last = np.full(len(sizes), len(self.corpus.settings))
        points = Points(last, octave, np.zeros(len(sizes)))
        known = self.corpus.points.take(near)
        residual = self.corpus.log_us[near] - log_microseconds(
            base, Design(self.corpus.settings, known.which, np.exp2(known.octave))
        )
        itself = np.isin(known.which, same)[None, :] & (self.sizes[near][None, :] == np.array(sizes)[:, None])
        mean, deviation = _without(features, known, residual, points, values, shared, itself)
        return mean + log_microseconds(
            base, Design([asked], np.zeros(len(sizes), dtype=np.int64), np.exp2(octave))
        ), deviation

    def _shared(self, features: Features, coded: Floats, values: Mapping[str, float]) -> list[Floats]:
        """Return what settings share, the asked one last; what the measured ones share is worked out once."""
        key = coded.tobytes()
        if key not in self.worked_out:
            known = Features(self.corpus.settings)
            self.worked_out[key] = [known.shared(component, values) for component in COMPONENTS]
        found = []
        for component, known_matrix in zip(COMPONENTS, self.worked_out[key], strict=True):
            row = features.shared_of_last(component, values)
            found.append(np.block([[known_matrix, row[:-1, None]], [row[None, :]]]))
        return found

    def _neighbours(self, likeness: Floats) -> Ints:
        """Return the points of the settings most alike, enough of them."""
        chosen: list[Ints] = []
        count = 0
        for place in np.argsort(-likeness, kind="stable"):
            if count >= NEIGHBOURS:
                break
            chosen.append(self.members[place])
            count += len(self.members[place])
        return np.concatenate(chosen)


def _traits(setting: Setting, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(setting, name) for name in names)


def _without(
    features: Features,
    known: Points,
    residual: Floats,
    wanted: Points,
    values: Mapping[str, float],
    shared: Sequence[Floats],
    itself: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """Krige every wanted point on all known ones except those that are the point itself.

    Leaving points out needs no second factorisation: with the inverse covariance P, the solution without the
    set s changes by ``P[:, s] P[s, s]^-1`` times its part on s.
    """
    own = np.sum([matrix[wanted.which, wanted.which] for matrix in shared], axis=0)
    variance = own + kriging.noise(features, wanted, values)
    matrix = kriging.covariance(features, known, known, values, shared)
    matrix[np.diag_indices_from(matrix)] += kriging.noise(features, known, values)
    lower = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    cross = kriging.covariance(features, wanted, known, values, shared)
    solved = cho_solve((lower, True), np.column_stack([residual, cross.T]), check_finite=False)
    mean, explained = cross @ solved[:, 0], np.einsum("ij,ji->i", cross, solved[:, 1:])
    for place in np.flatnonzero(itself.any(axis=1)):
        out = np.flatnonzero(itself[place])
        unit = np.zeros((len(residual), len(out)))
        unit[out, np.arange(len(out))] = 1.0
        columns = cho_solve((lower, True), unit, check_finite=False)
        inner = np.linalg.inv(columns[out])
        mean[place] -= solved[out, 1 + place] @ inner @ solved[out, 0]
        explained[place] -= solved[out, 1 + place] @ inner @ solved[out, 1 + place]
    return mean, np.sqrt(np.maximum(variance - explained, kriging.JITTER))


def _answers(
    asked: Setting,
    sizes: Sequence[int],
    mean: Floats,
    deviation: Floats,
    shape: Fitted,
    basis: str,
    assumed: tuple[str, ...],
) -> Iterator[Prediction]:
    for size, middle, spread in zip(sizes, mean, deviation, strict=True):
        low, high = ends(shape.interval, regime(asked, float(np.log2(max(size, 1)))))
        yield Prediction(
            time_s=float(np.exp(middle) * 1e-6),
            low_s=float(np.exp(middle + low * spread) * 1e-6),
            high_s=float(np.exp(middle + high * spread) * 1e-6),
            basis=basis,
            assumed=assumed,
        )
