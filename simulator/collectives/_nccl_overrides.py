"""``NCCL_ALGO`` and ``NCCL_PROTO``: which algorithms and protocols a user leaves NCCL."""

from collections.abc import Sequence

from simulator.collectives._nccl_tables import ALGORITHMS, PROTOCOLS, Table


def _plain(word: str) -> str:
    return word.strip().lower().replace("_", "")


def allowed(text: str | None, names: Sequence[str], op: str, table: Table) -> frozenset[str]:
    """Return the names that an override leaves for one collective.

    Parameters
    ----------
    text : str, optional
        As in the environment: ``ring,tree`` allows these, ``^tree`` all but these; from 2.24
        ``ring;allreduce:^tree`` sets a default and, after a collective's name and a colon, its own.
    names : sequence of str
        Every name there is; case and underscores do not matter.
    op : str
        The collective.
    table : Table
        The release.

    Raises
    ------
    ValueError
        A word that is no such name, an empty list, or a prefix before 2.24.
    """
    every = frozenset(names)
    if text is None or not text.strip():
        return every
    default, own = every, None
    for part in text.split(";"):
        prefix, colon, listed = part.rpartition(":")
        if colon and not table.override_prefixes:
            raise ValueError(f"NCCL {table.release} knows no per-collective override as in {text!r}")
        if colon and _plain(prefix) not in {_plain(known) for known in table.algorithms}:
            raise ValueError(f"no collective {prefix.strip()!r} in {text!r}: {', '.join(table.algorithms)}")
        chosen = _listed(listed, names)
        if not colon:
            default = chosen
        elif _plain(prefix) == _plain(op):
            own = chosen
    return default if own is None else own


def _listed(text: str, names: Sequence[str]) -> frozenset[str]:
    by_word = {_plain(name): name for name in names}
    negated = text.strip().startswith("^")
    words = [_plain(word) for word in text.strip().removeprefix("^").split(",")]
    wrong = [word for word in words if word not in by_word]
    if wrong:
        raise ValueError(f"{wrong[0]!r} in {text!r} is not one of {', '.join(names)}")
    named = frozenset(by_word[word] for word in words)
    return frozenset(names) - named if negated else named


def pairs(op: str, table: Table, algorithm: str | None, protocol: str | None) -> frozenset[tuple[str, str]]:
    """Return the (algorithm, protocol) pairs that both overrides leave; arguments as in `allowed`."""
    algorithms = set(allowed(algorithm, ALGORITHMS, op, table))
    if table.ring_always_allowed and op != "all_reduce":
        algorithms.add("ring")
    protocols = allowed(protocol, PROTOCOLS, op, table)
    return frozenset((a, p) for a in algorithms for p in protocols)
