r"""How many tokens a model needs: loss by parameters and tokens, steps by the size of a batch.

:math:`L(N, D) = E + A/N^\alpha + B/D^\beta` with L in nats a token.

References
----------
.. [1] Hoffmann et al., Training compute-optimal large language models, arXiv:2203.15556, section 3.3.
.. [2] Besiroglu et al., Chinchilla scaling: a replication attempt, arXiv:2404.10102.
.. [3] McCandlish et al., An empirical model of large-batch training, arXiv:1812.06162.
.. [4] Kaplan et al., Scaling laws for neural language models, arXiv:2001.08361, equation 5.4.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

TOKENS_PER_PARAMETER = 20.0  # at which a budget of computation is best spent [1]


@dataclass(frozen=True, slots=True)
class Law:
    """Constants of a law: the loss that nothing beats, and what parameters and tokens take off.

    Parameters
    ----------
    least : float
        E, nats.
    width, width_power, data, data_power : float
        A and alpha, B and beta.
    source : str
        Who fitted it.
    """

    least: float
    width: float
    width_power: float
    data: float
    data_power: float
    source: str


LAWS = {
    "hoffmann2022": Law(1.69, 406.4, 0.34, 410.7, 0.28, "arXiv:2203.15556"),
    "besiroglu2024": Law(1.8172, 482.01, 0.3478, 2085.43, 0.3658, "arXiv:2404.10102"),
}


def law_of(name: str) -> Law:
    """Return a law by name; ValueError for one that there is not."""
    if name not in LAWS:
        raise ValueError(f"scaling law '{name}': wanted one of {', '.join(LAWS)}")
    return LAWS[name]


def loss(parameters: float, tokens: float, *, law: str = "hoffmann2022") -> float:
    """Return the loss in nats a token of a model trained on so many tokens.

    Parameters
    ----------
    parameters, tokens : float
        N and D.
    law : str
        Of `LAWS`.

    Raises
    ------
    ValueError
        An unknown law, numbers that are not above 0.
    """
    one = law_of(law)
    for name, value in (("parameters", parameters), ("tokens", tokens)):
        if not (value > 0 and isfinite(value)):
            raise ValueError(f"{value:g} {name}: must be above 0")
    return float(one.least + one.width / parameters**one.width_power + one.data / tokens**one.data_power)


def tokens_to(parameters: float, target: float, *, law: str = "hoffmann2022") -> float:
    """Return the tokens after which a model has a loss.

    Parameters
    ----------
    parameters : float
        N.
    target : float
        Nats a token.
    law : str
        Of `LAWS`.

    Raises
    ------
    ValueError
        A loss that a model of this size never reaches; the message says which it does.
    """
    one = law_of(law)
    limit = loss(parameters, 1e300, law=law)
    if not target > limit:
        raise ValueError(
            f"loss {target:g}: {parameters:.3g} parameters stay above {limit:.4g} however long they are trained "
            f"({one.source}); wanted more than that"
        )
    rest = target - one.least - one.width / parameters**one.width_power
    return float((one.data / rest) ** (1 / one.data_power))


def critical_batch(target: float) -> float:
    """Return the batch in tokens from which on more samples hardly save steps: :math:`2e8 L^{-1/0.21}` [4]_."""
    if not target > 0:
        raise ValueError(f"loss {target:g}: must be above 0")
    return float(2e8 * target ** (-1 / 0.21))


def steps(least: float, batch: float, critical: float) -> float:
    r"""Return the steps to a loss: :math:`S = S_\min (1 + B_c/B)` [3]_.

    Parameters
    ----------
    least : float
        Steps with a batch without end.
    batch, critical : float
        B and its critical size, in the same unit.
    """
    return least * (1 + critical / batch)


def examples(fewest: float, batch: float, critical: float) -> float:
    r"""Return the samples to a loss: :math:`E = E_\min (1 + B/B_c)` [3]_."""
    return fewest * (1 + batch / critical)


def best_batch(fixed_s: float, each_s: float, critical: float) -> float:
    r"""Return the batch that reaches a loss soonest where a step takes a + c B: :math:`\sqrt{B_c a/c}`.

    From [3]_: the time is :math:`S_\min(1 + B_c/B)(a + cB)`.

    Parameters
    ----------
    fixed_s, each_s : float
        a, s a step; c, s a sample or token of the batch.
    critical : float
        Critical batch in that unit.
    """
    return sqrt(critical * fixed_s / each_s)
