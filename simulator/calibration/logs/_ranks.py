"""The list of ranks that nccl-tests prints before its table."""

import re
from collections import Counter

from simulator.calibration.logs._points import Ranks

_RANK = re.compile(
    r"#\s*Rank\s+(\d{1,8})\s+(?:Group\s+(\d{1,8})\s+)?Pid\s+(\d+)\s+on\s+(\S+)\s+device\s+(\d+)\s*"
    r"(?:\[[^\]]*\])?\s*(.*)"
)


class RankList:
    """Collects lines ``# Rank i ... Pid p on host device d [bus] name`` until a table begins."""

    def __init__(self) -> None:
        self._members: dict[int, tuple[int, str, str]] = {}  # rank: group, host, GPU
        self._closed = False
        self._cut = False

    def take(self, comment: str) -> bool:
        """Use a line if it is of the list, and say whether it was."""
        match = _RANK.match(comment)
        if match is None:
            self._cut |= "Rank" in comment and comment.rstrip().endswith("...")
            return False
        if self._closed:
            self._members, self._closed, self._cut = {}, False, False
        self._cut |= match[6].endswith("...")
        self._members[int(match[1])] = (int(match[2] or 0), match[4], match[6].strip())
        return True

    def close(self) -> None:
        """A table begins: the next rank starts a new list."""
        self._closed = True

    def ranks(self) -> Ranks | None:
        """Return who took part, None where there is no list or only a part of one.

        Ranks of one communicator are those of the group of the first rank.
        """
        everyone = self._members
        if not everyone or self._cut or max(everyone) != len(everyone) - 1:
            return None
        group = everyone[0][0]
        members = [member for member in everyone.values() if member[0] == group]
        hosts = Counter(host for _, host, _ in members)
        each = set(hosts.values())
        names = sorted({name for _, _, name in members if name})
        return Ranks(
            gpus=len(members),
            nodes=len(hosts),
            gpus_per_node=each.pop() if len(each) == 1 else None,
            gpu=" / ".join(names),
        )
