"""A folder of plugins is its own registry: the file name is the name, a leading underscore hides it."""

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import ModuleType


class Registry(Mapping[str, ModuleType]):
    """Modules of a package by file name, each imported when it is first asked for.

    Listing the names imports nothing, so a command line can complete and suggest them at once.

    Parameters
    ----------
    package : str
        Dotted name of the package, ``__name__`` in its ``__init__``.
    path : iterable of str
        Where it lies, ``__path__`` in its ``__init__``.
    """

    def __init__(self, package: str, path: Iterable[str]) -> None:
        self._package = package
        self._names = sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))

    def __getitem__(self, name: str) -> ModuleType:
        """Return the module called ``name``; KeyError if the folder has no such file."""
        if name not in self._names:
            raise KeyError(name)
        return import_module(f"{self._package}.{name}")

    def __iter__(self) -> Iterator[str]:
        """Yield the names in alphabetical order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many plugins the folder holds."""
        return len(self._names)
