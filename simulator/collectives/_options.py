"""What a collective can be told besides ranks and size: the keywords of its `cost`.

Those of its `steps` are some of them.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from types import ModuleType
from typing import Any

from simulator.errors import unknown


def options(module: ModuleType) -> dict[str, Any]:
    """Return the keyword options of an algorithm with their defaults, sorted by name."""
    return dict(sorted(_keywords(module.cost).items()))


def check_options(module: ModuleType, given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that the algorithm does not have."""
    known = options(module)
    for name in given:
        if name not in known:
            raise unknown(f"option of {module.__name__.rpartition('.')[2]}", name, list(known))


def accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that the function takes."""
    return {name: value for name, value in given.items() if name in _keywords(function)}


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
