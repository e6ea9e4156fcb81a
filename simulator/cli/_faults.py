"""Faults as a user sees them: one whole line, then help; one JSON object where JSON was asked for."""

import difflib
import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from simulator.cli._options import flag
from simulator.cli._output import colourful
from simulator.errors import CommsimError, UsageError, unknown
from simulator.reports.tables import printable

LONGEST = 500  # characters of a message; somebody will paste a file into a flag


class InternalError(CommsimError):
    """A fault of the program."""

    code = "internal"
    status = 1


def understand(error: Exception) -> CommsimError:
    """Return any exception as one of ours: what click found is usage, what nobody foresaw is our bug."""
    if isinstance(error, CommsimError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError) and error.filename:  # a name that no file can have, a folder taken away
        return UsageError(f"{error.filename}: {error.strerror}")
    kind = f"{type(error).__name__}: {error}".strip(": ")
    return InternalError(f"internal error: {kind}; rerun with --debug and attach what it prints")


def _usage(error: click.ClickException) -> CommsimError:
    if isinstance(error, click.exceptions.NoSuchCommand):
        return _no_such_command(error)
    if isinstance(error, click.exceptions.NoSuchOption):
        return _no_such_option(error)
    name = flag(error.param) if isinstance(error, click.BadParameter) else ""
    hint = _help(getattr(error, "ctx", None))
    if isinstance(error, click.MissingParameter):
        return UsageError(f"{name} is missing", where=name, hint=hint)
    text = error.message[:1].lower() + error.message[1:].strip().rstrip(".")
    return UsageError(f"{name}: {text}" if name else text, where=name, hint=hint)


def _no_such_command(error: click.exceptions.NoSuchCommand) -> CommsimError:
    context = error.ctx
    known = (
        context.command.list_commands(context) if context and isinstance(context.command, click.Group) else []
    )
    return unknown("command", error.command_name, known, listing=_help(context))


def _no_such_option(error: click.exceptions.NoSuchOption) -> CommsimError:
    context, name = error.ctx, error.option_name
    known = [name for p in context.command.get_params(context) for name in p.opts] if context else []
    close, listing = ", ".join(difflib.get_close_matches(name, known)), _help(context)
    hint = f"{close}   (all: {listing})" if close else listing
    return UsageError(f"unknown option '{name}'", where=name, hint=hint)


def _help(context: click.Context | None) -> str:
    return f"{context.command_path if context else 'commsim'} --help"


def show(error: CommsimError, *, as_json: bool, debug: bool) -> None:
    """Print a fault on stderr, in the form that was asked for, the traceback only for `--debug`."""
    message = _line(error.message)
    trace = "".join(traceback.format_exception(error.__cause__ or error)) if debug else ""
    if as_json:
        where, hint = error.where or None, error.hint or None
        fault: dict[str, Any] = {"code": error.code, "message": message, "where": where, "try": hint}
        more = {"details": list(error.details), "traceback": trace}
        click.echo(
            json.dumps({"error": fault | {key: value for key, value in more.items() if value}}), err=True
        )
        return
    label = click.style("error:", fg="red", bold=True) if colourful(sys.stderr) else "error:"
    lines = [f"{label} {message}", *(f"  {_line(detail)}" for detail in error.details)]
    if error.where and error.where not in message:
        lines.append(f"  where: {_line(error.where)}")
    if error.hint:
        lines.append(f"  try: {_line(error.hint)}")
    click.echo("\n".join(lines) + ("\n" + trace.rstrip() if trace else ""), err=True)


def _line(text: str) -> str:
    text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"
    return printable(text)


def asked(arguments: Sequence[str], option: str) -> bool:
    """Tell whether a flag stands among arguments that could not be parsed to the end."""
    return option in arguments[: arguments.index("--")] if "--" in arguments else option in arguments
