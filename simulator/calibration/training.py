r"""Fit the predictor's parameters by what prediction has to do without: blocks of points left out together.

With :math:`K` the covariance of the residuals :math:`r`, the error of predicting a block :math:`b` from all
other points needs no second solve [1]_:

.. math:: e_b = (K^{-1})_{bb}^{-1} (K^{-1} r)_b

The loss is the mean of a smoothed :math:`|e|`, plus a little marginal likelihood that keeps variances honest
and priors that keep parameters in reach where data say nothing. Its gradient is exact in the matrices.

References
----------
.. [1] Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sec. 5.4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack
from scipy.optimize import minimize

from simulator.calibration import covariance
from simulator.calibration.components import COMPONENTS, NAMES, START, decode
from simulator.calibration.corpus import Corpus
from simulator.calibration.covariance import Covariance, Features
from simulator.calibration.mechanism import Design, log_microseconds, prior

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LIKELIHOOD = 0.003  # weight of the marginal likelihood in the loss, whose blocks sum to 100
PRIOR = 0.05  # weight of the priors
_CORNER, _CAP = 0.03, 1.2  # |e| is smooth below the one and grows as a logarithm above the other
_STEP = 1e-4  # for derivatives of the covariance, which are cheap and smooth


@dataclass(frozen=True, slots=True)
class Block:
    """Points left out together, and how much each error counts."""

    places: Ints
    weight: Floats


def size_blocks(corpus: Corpus, seed: int = 0, parts: int = 4) -> list[Block]:
    """Return random quarters of every series: other sizes of the same series stay."""
    rng = np.random.default_rng(seed)
    return _grouped(corpus.points.which * parts + rng.integers(0, parts, len(corpus.log_us)))


def count_blocks(corpus: Corpus) -> list[Block]:
    """Return, for each fabric and source, one GPU count alone, and everything from one count on."""
    key = np.array([f"{s.fabric}|{s.source}|{s.library}" for s in corpus.settings])[corpus.points.which]
    gpus = np.array([s.gpus for s in corpus.settings])[corpus.points.which]
    away = np.array([bool(s.transport) for s in corpus.settings])[corpus.points.which]
    blocks = []
    for group in np.unique(key):
        members = np.flatnonzero(key == group)
        counts = np.unique(gpus[members])
        for count in counts[1:]:
            alone = members[gpus[members] == count]
            if count < counts[-1]:
                blocks.append(Block(alone, np.where(away[alone], 1.0, 0.15)))
            places = members[gpus[members] >= count]
            weight = (gpus[places] == count) * np.where(away[places], 1.0, 0.15)
            blocks.append(Block(places, weight))
    return blocks


def fabric_blocks(corpus: Corpus) -> list[Block]:
    """Return whole fabrics: only others stay."""
    fabric = np.array([s.fabric for s in corpus.settings])[corpus.points.which]
    return _grouped(np.unique(fabric, return_inverse=True)[1])


def _grouped(keys: Ints) -> list[Block]:
    order = np.argsort(keys, kind="stable")
    starts = np.unique(keys[order], return_index=True)[1]
    return [Block(places, np.ones(len(places))) for places in np.split(order, starts[1:])]


BLOCKS = {"calibrated": size_blocks, "scaled": count_blocks, "catalogue": fabric_blocks}
"""What each basis leaves out while it is fitted."""


def fit(corpus: Corpus, blocks: Sequence[Block], *, iterations: int = 30) -> Floats:
    """Return the parameters: logarithms of the mechanism's, then the encoded ones of the covariance.

    Parameters
    ----------
    corpus : Corpus
        What may be seen.
    blocks : sequence of Block
        What is left out in turn.
    iterations : int
        Most steps of L-BFGS.
    """
    problem = _Problem(corpus, blocks)
    found = minimize(
        problem.loss,
        problem.start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations},
    )
    return np.asarray(found.x)


class _Problem:
    def __init__(self, corpus: Corpus, blocks: Sequence[Block]) -> None:
        self.features = Features(corpus.settings)
        self.points = corpus.points
        self.log_us = corpus.log_us
        self.design = Design(corpus.settings, corpus.points.which, corpus.sizes)
        self.gap = covariance.gaps(self.features, corpus.points, corpus.points)
        total = sum(float(block.weight.sum()) for block in blocks) or 1.0
        self.blocks = [Block(block.places, block.weight * 100 / total) for block in blocks]
        found = prior()
        self.mechanism = len(found.mean)
        self.start = np.concatenate([found.mean, START])
        self.spread = np.concatenate([found.spread, np.ones(len(START))])

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """Return the loss and its gradient."""
        base, coded = parameters[: self.mechanism], parameters[self.mechanism :]
        values = decode(coded)
        model, slope = self._model(base)
        residual = self.log_us - model
        alike = Covariance(self.features, values)
        lower = cholesky(alike.measured(self.points), lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve((lower, True), residual, check_finite=False)
        inverse = lapack.dpotri(lower, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        total, by_matrix, by_model = self._left_out(inverse, solved)
        total += LIKELIHOOD * (0.5 * float(residual @ solved) + float(np.log(np.diag(lower)).sum()))
        by_matrix += LIKELIHOOD * 0.5 * (inverse - np.outer(solved, solved))
        by_model = by_model - LIKELIHOOD * solved
        gradient = np.concatenate([slope.T @ by_model, self._by_values(coded, values, by_matrix)])
        away = (parameters - self.start) / self.spread
        total += PRIOR / 2 * float(away @ away)
        return total, gradient + PRIOR * away / self.spread

    def _model(self, base: Floats) -> tuple[Floats, Floats]:
        model = log_microseconds(base, self.design)
        slope = np.empty((len(model), len(base)))
        for place in range(len(base)):
            moved = base.copy()
            moved[place] += _STEP / 10
            slope[:, place] = (log_microseconds(moved, self.design) - model) / (_STEP / 10)
        return model, slope

    def _left_out(self, inverse: Floats, solved: Floats) -> tuple[float, Floats, Floats]:
        """Return the blocks' loss and its derivatives by the covariance and by the closed form."""
        count, total = len(solved), 0.0
        pulled = np.zeros(count)
        left, right = np.zeros((2, count, len(self.blocks)))
        for place, block in enumerate(self.blocks):
            inner = inverse[np.ix_(block.places, block.places)]
            error: Floats = np.asarray(np.linalg.solve(inner, solved[block.places]), dtype=np.float64)
            value, slope = _penalty(error)
            total += float(block.weight @ value)
            pull = np.linalg.solve(inner, block.weight * slope)
            pulled[block.places] += pull
            left[:, place] = inverse[:, block.places] @ pull
            right[:, place] = inverse[:, block.places] @ error
        back = inverse @ pulled
        by_matrix = left @ right.T - np.outer(back, solved)
        return total, (by_matrix + by_matrix.T) / 2, -back

    def _by_values(self, coded: Floats, values: dict[str, float], by_matrix: Floats) -> Floats:
        """Return the gradient by the covariance's parameters, component by component."""
        gradient = np.zeros(len(coded))
        which, series = self.points.which, self.features.count
        for part in COMPONENTS:
            along = covariance.along_size(part, self.gap, values)
            shared = self.features.shared(part, values)
            weighted = np.zeros((series, len(which)))
            np.add.at(weighted, which, by_matrix * along)
            summed = np.zeros((series, series))
            np.add.at(summed, which, weighted.T)
            for place, name in enumerate(NAMES):
                if not name.startswith(f"{part.name}_"):
                    continue
                moved = _moved(coded, place)
                if name == f"{part.name}_size":
                    change = covariance.along_size(part, self.gap, moved) - along
                    gradient[place] = np.einsum("ij,ij,ij->", by_matrix, shared[np.ix_(which, which)], change)
                else:
                    gradient[place] = float(((self.features.shared(part, moved) - shared) * summed).sum())
        diagonal = np.diag(by_matrix)
        level = Covariance(self.features, values).noise(self.points)
        for place, name in enumerate(NAMES):
            if name.startswith("noise_"):
                moved = _moved(coded, place)
                change = Covariance(self.features, moved).noise(self.points) - level
                gradient[place] = float(diagonal @ change)
        return gradient / _STEP


def _moved(coded: Floats, place: int) -> dict[str, float]:
    moved = coded.copy()
    moved[place] += _STEP
    return decode(moved)


def _penalty(error: Floats) -> tuple[Floats, Floats]:
    """Return a smoothed |error| that grows as a logarithm beyond the cap, and its derivative."""
    size = np.sqrt(error**2 + _CORNER**2) - _CORNER
    beyond = np.maximum(size - _CAP, 0.0)
    value = np.minimum(size, _CAP) + np.log1p(beyond)
    slope = error / (size + _CORNER) / (1 + beyond)
    return value, slope


def left_out(corpus: Corpus, blocks: Sequence[Block], parameters: Floats) -> tuple[Ints, Floats, Floats]:
    """Return points, errors and standard deviations, log scale, each point predicted without its block.

    Parameters
    ----------
    corpus : Corpus
        All points.
    blocks : sequence of Block
        What is left out in turn; a point in several blocks appears as often as it has a weight.
    parameters : array
        As `fit` returns them.
    """
    problem = _Problem(corpus, blocks)
    base, coded = parameters[: problem.mechanism], parameters[problem.mechanism :]
    values = decode(coded)
    residual = corpus.log_us - log_microseconds(base, problem.design)
    matrix = Covariance(problem.features, values).measured(corpus.points)
    lower = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve((lower, True), residual, check_finite=False)
    inverse = lapack.dpotri(lower, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    places, error, deviation = [], [], []
    for block in blocks:
        spread = np.linalg.inv(inverse[np.ix_(block.places, block.places)])
        weighed = block.weight > 0
        places.append(block.places[weighed])
        error.append((spread @ solved[block.places])[weighed])
        deviation.append(np.sqrt(np.diag(spread))[weighed])
    return np.concatenate(places), np.concatenate(error), np.concatenate(deviation)
