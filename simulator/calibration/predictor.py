"""How long a collective will take, with an interval, and from what that is known.

The closed form of `mechanism` gives the level, `kriging` on measured points what it leaves over. What is
measured of the wanted setting decides the basis: ``calibrated`` (this very series), ``scaled`` (this fabric
otherwise), ``catalogue`` (neither). A point that the measurements hold is predicted without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from simulator.calibration.components import COMPONENTS, decode
from simulator.calibration.corpus import Corpus, family_of, joined, shipped
from simulator.calibration.covariance import Covariance, Features, Points
from simulator.calibration.fitted import fitted, half
from simulator.calibration.intervals import ends, regime
from simulator.calibration.kriging import krige
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
    "outside_rate",
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
        with _one_thread().limit(limits=1, user_api="blas"):
            return self._predict(list(wanted))

    def _predict(self, asked: list[tuple[Setting, int]]) -> list[Prediction]:
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
            sizes = list(
                dict.fromkeys(asked[place][1] for place in places)
            )  # the same twice is the same to a bit
            answers = dict(zip(sizes, pool.predict(setting, part, sizes), strict=True))
            for place in places:
                found[place] = answers[asked[place][1]]
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


@cache
def _one_thread() -> ThreadpoolController:
    """Return what holds linear algebra to one thread: its matrices are small, and answers must not vary."""
    return ThreadpoolController()


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
        self.worked_out: dict[bytes, tuple[Floats, list[Floats]]] = {}
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
        """Return the half of the shipped measurements that hold this very point, None if none does."""
        for place in self.same(setting):
            own = bool(self.corpus.settings[place].fabric_name)
            if not own and size in self.sizes[self.members[place]]:
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
        octave = np.log2(np.maximum(np.array(sizes, dtype=float), 1.0))
        mean, deviation = self._krige(asked, shape.unseen(part), same, octave)
        assumed = setting.assumed
        if asked.op != setting.op:
            assumed = (*assumed, f"{setting.op} as {asked.op}")
        answers = []
        for place, size in enumerate(octave.tolist()):
            low, high = ends(shape.interval, regime(asked, size))
            logs = mean[place] + deviation[place] * np.array([0.0, low, high])
            middle, least, most = (np.exp(logs) * 1e-6).tolist()
            answers.append(Prediction(time_s=middle, low_s=least, high_s=most, basis=basis, assumed=assumed))
        return answers

    def _krige(
        self, asked: Setting, parameters: tuple[Floats, Floats], same: Sequence[int], octave: Floats
    ) -> tuple[Floats, Floats]:
        """Return mean and deviation of log us at the sizes, each without the points that are itself."""
        base, values = parameters[0], decode(parameters[1])
        corpus, count = self.corpus, len(octave)
        residual, shared = self._known(base, parameters[1])
        features = Features([*corpus.settings, asked])
        rows = [features.shared_of_last(part, values) for part in COMPONENTS]
        bordered = [
            np.block([[known, row[:-1, None]], [row[None, :]]])
            for known, row in zip(shared, rows, strict=True)
        ]
        near = self._neighbours(np.sum(rows, axis=0)[:-1])
        known = corpus.points.take(near)
        wanted = Points(np.full(count, len(corpus.settings)), octave, np.zeros(count))
        sizes = np.rint(np.exp2(octave)).astype(np.int64)
        itself = np.isin(known.which, same)[None, :] & (self.sizes[near][None, :] == sizes[:, None])
        covariance = Covariance(features, values, bordered)
        mean, deviation = krige(covariance, known, residual[near], wanted, itself)
        design = Design([asked], np.zeros(count, dtype=np.int64), np.exp2(octave))
        return mean + log_microseconds(base, design), deviation

    def _known(self, base: Floats, coded: Floats) -> tuple[Floats, list[Floats]]:
        """Return the residuals of the measured points, and what their settings share; worked out once."""
        key = base.tobytes() + coded.tobytes()
        if key not in self.worked_out:
            design = Design(self.corpus.settings, self.corpus.points.which, self.corpus.sizes)
            features = Features(self.corpus.settings)
            shared = [features.shared(part, decode(coded)) for part in COMPONENTS]
            self.worked_out[key] = (self.corpus.log_us - log_microseconds(base, design), shared)
        return self.worked_out[key]

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
