"""Values as TOML text: what `tomllib` reads and nothing in the standard library writes."""

import json
import re
from collections.abc import Mapping
from typing import Any


def entries(table: Mapping[str, Any]) -> list[str]:
    """Return the lines of one table: text, numbers, truth values and lists of them."""
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_value, value))}]"
