"""``commsim rerun``: a result made again from its manifest, and whether it is the same."""

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit
from simulator.errors import CheckError, InputError, UsageError

WRITERS = ("sweep", "plan", "merge")  # commands that write a folder, as `simulator.reports.result` knows them
_FOLDER = ("-o", "--output")


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), metavar="MANIFEST")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep the new result in this folder.")
@form_options
def command(*, manifest: Path, output: Path | None) -> None:
    """Run the command of MANIFEST again and compare the tables byte by byte; exit 4 if they differ.

    Files that the command named are looked for as typed, then beside the folder of the manifest.
    """
    from simulator.reports.result import read_manifest

    told = read_manifest(manifest)
    if output is not None and output.resolve() == manifest.resolve().parent:
        raise UsageError(
            f"-o {output}: is the folder of the result itself, which is compared with",
            where="-o",
            hint="another folder, or leave -o out",
        )
    words = _arguments(manifest, told)
    warnings = _changed(manifest, told)
    with contextlib.ExitStack() as stack:
        folder = output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="commsim-")))
        _run(manifest, words, folder)
        tables = sorted(path.name for path in manifest.parent.glob("*.csv"))
        rows = [_compared(manifest.parent / name, folder / name) for name in tables]
    same = all(row["same"] for row in rows)
    result = {"rows": rows, "same": same}
    emit(result, lambda: _lines(rows), inputs=[str(manifest)], warnings=warnings)
    if not same:
        first = next(row for row in rows if not row["same"])
        raise CheckError(f"{first['table']} differs: {first['difference']}", where=str(manifest))


def _arguments(path: Path, told: Mapping[str, Any]) -> list[str]:
    """Return the words of the command without the folder that it wrote to and the cluster that worked on it."""
    from simulator.reports.result import command_of

    words = [str(word) for word in told["command"]][1:]
    if command_of(words) not in WRITERS:
        raise InputError(str(path), f"is of '{command_of(words)}', which writes no folder of results")
    found: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith(("--output=", "--executor=")) or (word.startswith("-o") and word != "-o"):
            skip = False
        elif word in (*_FOLDER, "--executor"):  # nor to whoever worked on it then
            skip = True
        else:
            found.append(_file(path, word, told))
    return found


def _file(path: Path, word: str, told: Mapping[str, Any]) -> str:
    """Return where a file lies that the command named: as typed, else beside the folder of the manifest."""
    if word in told.get("inputs", {}) and not Path(word).is_file():
        beside = path.resolve().parent.parent / word
        if beside.is_file():
            return str(beside)
    return word


def _changed(path: Path, told: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was: versions, catalogues, input files."""
    from simulator.manifest import manifest
    from simulator.reading import digest

    now = manifest()
    found = [
        f"{name} was {told[name]}, is {now[name]}"
        for name in ("version", "commit", "catalogue", "python")
        if told.get(name) and told[name] != now[name]
    ]
    packages = told.get("packages", {})
    found += [
        f"{name} was {old}, is {now['packages'].get(name)}"
        for name, old in packages.items()
        if now["packages"].get(name) != old
    ]
    for name, old in told.get("inputs", {}).items():
        there = _file(path, name, told)
        if not Path(there).is_file():
            found.append(f"{name} is not there")
        elif digest(there) != old:
            found.append(f"{there} has changed since")
    return found


def _run(path: Path, words: Sequence[str], folder: Path) -> None:
    """Run a command of this program into a folder."""
    from simulator.cli._main import main

    said, faults = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(faults):
        status = main([*words, "-o", str(folder)])
    if status:
        first = (faults.getvalue().strip().splitlines() or ["no reason given"])[0]
        raise InputError(str(path), f"its command fails with exit {status}: {first.removeprefix('error: ')}")


def _compared(old: Path, new: Path) -> dict[str, Any]:
    if not new.is_file():
        return {"table": old.name, "same": False, "difference": "is not made any more"}
    before, after = old.read_bytes(), new.read_bytes()
    if before == after:
        return {"table": old.name, "same": True, "difference": None}
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    line = next((number for number, (one, other) in enumerate(pairs, start=1) if one != other), None)
    where = f"line {line}" if line else "one has more lines"
    return {"table": old.name, "same": False, "difference": where}


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{row['table']}: {'the same bytes' if row['same'] else 'differs: ' + row['difference']}"
        for row in rows
    ]
