"""What a log says besides its tables: library and version, pinned choices, the program that ran."""

import re

from simulator.calibration.logs._operations import program
from simulator.calibration.logs._points import Ranks

_SETTING = re.compile(r"\b(NCCL_ALGO|NCCL_PROTO)(?:=| set by environment to )([^\s,;'\"]*)")
_VERSION = re.compile(r"\b(R?NCCL) version\s*:?\s*(\d+\.\d+(?:\.\d+)?)")
_CODE = re.compile(r"nccl-library=(\d{4,6})")
_RANKS = re.compile(r"\bn[Rr]anks (\d{1,8})\b.*\bInit\b")


def version_of(code: int) -> str:
    """Return ``2.29.7`` of 22907: NCCL counts in thousands up to 2.8, in ten thousands since."""
    major, minor, patch = (
        (code // 1000, code // 100 % 10, code % 100)
        if code < 10000
        else (code // 10000, code // 100 % 100, code % 100)
    )
    return f"{major}.{minor}.{patch}"


class Environment:
    """Collects these facts line by line; settings of one command end at the next."""

    def __init__(self) -> None:
        self.op: str | None = None
        self._exported: dict[str, str] = {}
        self._set: dict[str, str] = {}
        self._sizes: set[int] = set()
        self._library = ""
        self._version = ""

    def message(self, text: str) -> None:
        """Use a debug message of NCCL."""
        if "NCCL_" in text:
            self._set |= dict(_SETTING.findall(text))
        if "anks " in text:
            self._sizes |= {int(size) for size in _RANKS.findall(text)}
        self._note_version(text)

    def comment(self, text: str) -> None:
        """Use a comment of the test."""
        code = _CODE.search(text)
        if code is not None:
            self._version = self._version or version_of(int(code[1]))
        self.command(text)

    def command(self, text: str) -> bool:
        """Use any other line; say whether it names one program of nccl-tests."""
        self._note_version(text)
        settings = dict(_SETTING.findall(text)) if "NCCL_" in text else {}
        op = program(text) if "_perf" in text else None
        if op is None:
            self._exported |= settings
            return False
        self.op, self._set = op, settings
        return True

    def _note_version(self, text: str) -> None:
        if "rccl-tests" in text:
            self._library = "rccl"
        match = _VERSION.search(text) if " version" in text else None
        if match is not None:
            self._library, self._version = match[1].lower(), match[2]

    def forced(self, name: str) -> str:
        """Return what a variable was set to, empty where it was not."""
        return (self._exported | self._set).get(name, "")

    def ranks(self) -> Ranks | None:
        """Return the GPU count of the only size of communicator that NCCL reported since the last table."""
        return Ranks(gpus=next(iter(self._sizes))) if len(self._sizes) == 1 else None

    def close(self) -> None:
        """A table begins: communicators reported from here on are of the next."""
        self._sizes = set()

    def library(self, ranks: Ranks | None) -> tuple[str, str]:
        """Return library and version; AMD GPUs run RCCL."""
        amd = ranks is not None and ("AMD" in ranks.gpu or "Instinct" in ranks.gpu)
        return self._library or ("rccl" if amd else "nccl"), self._version
