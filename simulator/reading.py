"""Files from outside, read with suspicion: bounded size, real text, strict JSON and TOML, unique keys."""

import csv
import io
import json
import math
import tomllib
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from simulator.errors import InputError

LIMIT = 256 * 2**20  # bytes after decompression; larger inputs are refused before they fill the memory
TOML_LIMIT = 4 * 2**20  # characters; its parser needs 20 times as long for a byte as that of JSON
_GZIP = b"\x1f\x8b"


def read_bytes(path: str | Path, *, limit: int = LIMIT) -> bytes:
    """Return the bytes of a file, decompressed if it is gzip.

    Parameters
    ----------
    path : str or Path
        The file as typed.
    limit : int
        Largest size accepted, bytes, after decompression.

    Raises
    ------
    InputError
        Missing, a folder, unreadable, empty, larger than ``limit`` or broken gzip.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise InputError(name, "no such file") from None
    except IsADirectoryError:
        raise InputError(name, "is a folder, not a file") from None
    except (OSError, ValueError) as error:
        raise InputError(name, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data.startswith(_GZIP):
        data = _gunzip(name, data, limit)
    if len(data) > limit:
        raise InputError(name, f"is larger than {limit // 2**20} MiB")
    if not data:
        raise InputError(name, "is empty")
    return data


def _gunzip(name: str, data: bytes, limit: int) -> bytes:
    text, rest = b"", data
    while rest.startswith(_GZIP) and len(text) <= limit:  # files one behind the other are one file
        stream = zlib.decompressobj(wbits=31)
        try:
            text += stream.decompress(rest, limit + 1 - len(text))
        except zlib.error:
            raise InputError(name, "broken gzip data") from None
        if not stream.eof and len(text) <= limit:
            raise InputError(name, "gzip data cut short")
        rest = stream.unused_data
    if rest.strip(b"\0") and len(text) <= limit:
        raise InputError(name, "something that is not gzip follows the gzip data")
    return text


def read_text(path: str | Path, *, limit: int = LIMIT) -> str:
    """Return the text of a file: UTF-8 or UTF-16 with a BOM, line ends as single newlines.

    Raises
    ------
    InputError
        As `read_bytes`, or not UTF-8 text.
    """
    data = read_bytes(path, limit=limit)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"not UTF-8 text (byte {error.start})") from None
    if "\x00" in text:
        raise InputError(str(path), "binary data, not text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, for the manifest."""
    return sha256(Path(path).read_bytes()).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key '{twice}' appears twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text[:40]} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 400:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def parse_json(text: str, source: str) -> Any:
    """Return the value of strict JSON: no NaN, no infinities, no key twice in one object.

    Raises
    ------
    InputError
        With the line of the fault.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise InputError(source, f"not valid JSON: {error.msg} (line {error.lineno})") from None
    except RecursionError:
        raise InputError(source, "nested too deeply") from None
    except ValueError as error:
        raise InputError(source, str(error)) from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises
    ------
    InputError
        With the line of the fault; or larger than `TOML_LIMIT`.
    """
    if len(text) > TOML_LIMIT:
        raise InputError(source, f"is larger than {TOML_LIMIT // 2**20} MiB")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(source, f"not valid TOML: {error}") from None
    except RecursionError:
        raise InputError(source, "nested too deeply") from None
    except ValueError as error:
        raise InputError(source, f"not valid TOML: {error}") from None


def parse_csv(text: str, source: str, required: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a comma-separated table with a header line, blanks kept as empty strings.

    Each row also holds its line number as text under the key ``""``.

    Parameters
    ----------
    text : str
        The table.
    source : str
        Its file as typed, for messages.
    required : sequence of str
        Columns that must be there.

    Raises
    ------
    InputError
        No header, a column missing or twice, a row with too many cells, no rows.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [name for name in required if name not in header]
        if missing:
            raise InputError(source, f"no column '{missing[0]}'", hint=f"wanted: {', '.join(required)}")
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise InputError(source, f"column '{twice}' appears twice")
        rows = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InputError(source, f"{len(cells)} cells, wanted {len(header)} (line {reader.line_num})")
            values = (cell.strip() for cell in cells)
            rows.append(dict(zip(header, values, strict=True)) | {"": str(reader.line_num)})
    except csv.Error as error:
        raise InputError(source, f"not a valid CSV: {error} (line {reader.line_num})") from None
    if not rows:
        raise InputError(source, "has a header but no rows")
    return rows
