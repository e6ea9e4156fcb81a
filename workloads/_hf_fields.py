"""Fields of a Hugging Face configuration, read with suspicion: a fault is noted, and reading goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

from workloads._model_checks import LARGEST

Dimensions = dict[str, Any]  # arguments of `workloads.model.Model`


class Unknown(int):
    """What stands in for a number that could not be read, so that nothing is concluded from it."""


UNKNOWN = Unknown(1)


class Fields:
    """One object of a configuration.

    Parameters
    ----------
    values : mapping
        Its fields.
    faults : list of str
        What was found wrong; added to.
    where : str
        Path of the object in the file, ``text_config.``, for messages.
    defaults : mapping
        What a field is if it is left out; a nested object leaves out what its class has by default.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        faults: list[str],
        where: str = "",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self._values = values
        self._defaults = defaults or {}
        self.faults = faults
        self.where = where

    def refuse(self, sentence: str) -> None:
        """Note a fault."""
        self.faults.append(f"{self.where}{sentence}")

    def _find(self, keys: Sequence[str]) -> tuple[str, Any]:
        for values in (self._values, self._defaults):
            for key in keys:
                if values.get(key) is not None:
                    return key, values[key]
        return keys[0], None

    def count(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number under the first of some names that is there.

        A field that is missing without a default, or no whole number from ``least`` up, is noted; `UNKNOWN`
        stands in for it.
        """
        key, value = self._find(keys)
        if value is None:
            if default is not None:
                return default
            self.refuse(f"{' or '.join(map(repr, keys))} is missing")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.refuse(f"{key} is {value!r:.60}, wanted a whole number")
        elif value < least:
            self.refuse(f"{key} is {value!s:.24}, wanted {least} or more")
        elif value > LARGEST:
            self.refuse(f"{key} is {value!s:.24}, no model is that large")
        else:
            return value
        return UNKNOWN

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        _, value = self._find([key])
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"{key} is {value!r:.60}, wanted true or false")
            return default
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        _, value = self._find([key])
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(f"{key} is {value!r:.60}, wanted a text")
            return default
        return value

    def items(self, key: str, kind: type) -> list[Any]:
        """Return a list of texts or whole numbers; empty if it is left out."""
        _, value = self._find([key])
        if value is None:
            return []
        if not isinstance(value, list) or not all(type(item) is kind for item in value):
            self.refuse(f"{key} is {value!r:.60}, wanted a list of {'texts' if kind is str else 'numbers'}")
            return []
        return value

    def has(self, key: str) -> bool:
        """Tell whether a field is there and not null, by default too."""
        return self._find([key])[1] is not None

    @property
    def size(self) -> int:
        """Return how many fields there are."""
        return len(self._values)

    def nested(self, key: str, defaults: Mapping[str, Any] | None = None, *, needed: bool = True) -> "Fields":
        """Return an object inside, whose own faults go to the same list."""
        value = self._values.get(key)
        if value is None and needed:
            self.refuse(f"'{key}' is missing")
        elif value is not None and not isinstance(value, Mapping):
            self.refuse(f"{key} is {value!r:.60}, wanted an object")
            value = None
        return Fields(value or {}, self.faults, f"{self.where}{key}.", defaults)


def heads(f: Fields, hidden: int, *, default_dim: int = 0) -> Dimensions:
    """Return the dimensions of attention: heads, groups of them, their width."""
    count = f.count("num_attention_heads", "n_heads", "num_heads", "n_head")
    groups = f.count("num_key_value_heads", default=count)
    found: Dimensions = {"heads": count, "kv_heads": groups}
    if f.has("head_dim") or f.has("attention_head_dim") or default_dim:
        return found | {"head_dim": f.count("head_dim", "attention_head_dim", default=default_dim or None)}
    return found | {"head_dim": whole(f, hidden, count, "hidden size", "heads")}


def whole(f: Fields, total: int, parts: int, what: str, of: str) -> int:
    """Return total / parts, which must be whole."""
    if total % parts and not isinstance(total, Unknown) and not isinstance(parts, Unknown):
        f.refuse(f"{what} {total} is no multiple of {of} {parts}")
    return max(total // parts, 1)


def biases(f: Fields, layers: int, hidden: int) -> Dimensions:
    """Return which matrices have a bias in the way of Llama: attention and MLP, each by a flag of its own."""
    attention, mlp = f.flag("attention_bias", False), f.flag("mlp_bias", False)
    if attention and mlp:
        return {"bias": "all"}
    if attention:  # queries, keys and values, and the output, which our word leaves out
        return {"bias": "qkv", "extra_params": layers * hidden}
    return {"bias": "mlp"} if mlp else {}


def window(f: Fields, layers: int, *, key: str = "sliding_window", usual: Dimensions) -> Dimensions:
    """Return the window of attention and which layers have it.

    Parameters
    ----------
    f : Fields
        The configuration.
    layers : int
        Of the stack.
    key : str
        Where the tokens of the window stand.
    usual : dict
        Which layers are windowed if the file has no ``layer_types``.
    """
    tokens = f.count(key, default=0, least=0)
    if not tokens:
        return {}
    kinds = f.items("layer_types", str)
    if kinds and len(kinds) != layers:
        f.refuse(f"layer_types has {len(kinds)} entries for {layers} layers")
    elif kinds:
        windowed = [kind in ("sliding_attention", "chunked_attention") for kind in kinds]
        return {"window": tokens} | pattern(f, windowed) if any(windowed) else {}
    return {"window": tokens} | usual


def pattern(f: Fields, windowed: Sequence[bool]) -> Dimensions:
    """Return which layers are windowed in the words of `workloads.model.Model`."""
    layers = len(windowed)
    if all(windowed):
        return {}
    for step in range(2, layers + 1):
        if all(windowed[i] == (i % step == 0) for i in range(layers)):
            return {"window_every": step}
        if all(windowed[i] == ((i + 1) % step != 0) for i in range(layers)):
            return {"full_every": step}
    f.refuse("windows on some layers: wanted every n-th of them, or all but every n-th")
    return {}
