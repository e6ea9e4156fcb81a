"""Sequence parallelism: norms, dropouts and residuals on the part of the sequence that a tensor rank holds.

Korthikanti et al., arXiv:2205.05198, section 4.2.2. The collectives are those of `workloads.parallelism.tensor`.
"""

from workloads.layers import Slice


def tokens(cut: Slice) -> float:
    """Return the tokens that norms and residuals of one rank work on."""
    return cut.own_tokens
