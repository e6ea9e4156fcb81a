"""A folder of plugins is its own registry: the file name is the name."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


class Registry(Mapping[str, ModuleType]):
    """Modules of a package by name, imported when asked for; a leading underscore means no plugin.

    Parameters
    ----------
    package : str
        Import name of the package.
    path : sequence of str
        Its ``__path__``.
    """

    def __init__(self, package: str, path: Sequence[str]) -> None:
        self._package = package
        self._names = tuple(
            sorted(m.name for m in iter_modules(path) if not m.name.startswith("_") and not m.ispkg)
        )

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        return import_module(f"{self._package}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
