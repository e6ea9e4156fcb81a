"""The group of all commands, each imported when it is asked for, and the way out for every fault."""

import io
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from simulator.cli import COMMANDS
from simulator.cli._faults import asked, show, understand
from simulator.cli._output import ARGUMENTS, COLOUR, SETTINGS, STARTED, VERBOSITY, put, silence
from simulator.cli._settings import settings

NAME = "commsim"
COMPLETE = "_COMMSIM_COMPLETE"  # the variable by which a shell asks for completions


class Commands(click.Group):
    """The files of this folder as commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names without importing anything."""
        return [name.replace("_", "-") for name in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command; None if there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = COMMANDS[cmd_name.replace("-", "_")].command
        _share_options(command)
        return command


def _share_options(command: click.Command) -> None:
    """Let ``-v``, ``-q``, ``--config`` and the like stand behind the command's name too, unlisted there."""
    inner = list(command.commands.values()) if isinstance(command, click.Group) else []
    if not inner and not any(option.name == "debug" for option in command.params):
        command.params.extend(_shared(hidden=True))
    for one in inner:
        _share_options(one)


def _shared(*, hidden: bool) -> list[click.Parameter]:
    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, hidden=hidden, allow_from_autoenv=not hidden, **more)

    return [
        option(
            "-v", "--verbose", count=True, callback=_louder, help="Say what was chosen and why; -vv: events."
        ),
        option("-q", "--quiet", is_flag=True, callback=_quiet, help="Errors only."),
        option("--no-color", is_flag=True, callback=_no_colour, help="No colour, even on a terminal."),
        option("--debug", is_flag=True, help="Show the traceback of an error."),
        option(
            "--config",
            type=click.Path(),
            is_eager=True,
            callback=_configure,
            help="Defaults for options; commsim.toml in the working directory if left out.",
        ),
    ]


def _louder(context: click.Context, _: click.Parameter, count: int) -> None:
    if count:
        context.meta[VERBOSITY] = count


def _quiet(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.meta[VERBOSITY] = -1


def _no_colour(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.meta[COLOUR] = False


def _configure(context: click.Context, _: click.Parameter, path: str | None) -> None:
    """Read the settings once at the top; again below only where another file is named there."""
    if context.resilient_parsing or (context.parent and path is None):
        return
    root, names, here = context.find_root(), [], context
    while here.parent:
        names.append(str(here.info_name))
        here = here.parent
    context.meta[SETTINGS], defaults = settings(path, root)
    for name in reversed(names):
        defaults = defaults.get(name, {})
    context.default_map = defaults


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from simulator.manifest import product_version

        put(f"{NAME} {product_version()}")
        context.exit()


commands = Commands(
    NAME,
    params=[
        *_shared(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            allow_from_autoenv=False,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
    help="What will communication cost my model on that cluster?",
    epilog="Defaults: flag > COMMSIM_* variable > --config FILE > commsim.toml. First steps: commsim demo",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, print what went wrong and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123  closed by whoever called us
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no fault
    try:
        return _run(arguments)
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        silence()
        return 0
    except (KeyboardInterrupt, click.Abort) as stop:
        click.echo(str(stop) or "interrupted", err=True)
        return 130
    except Exception as error:
        fault = understand(error)
        fault.__cause__ = fault.__cause__ or (error if fault is not error else None)
        show(fault, as_json=asked(arguments, "--json"), debug=asked(arguments, "--debug"))
        return fault.status


def _run(arguments: list[str]) -> int:
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(commands, {"auto_envvar_prefix": "COMMSIM"}, NAME, COMPLETE, instruction)
    try:
        context = commands.make_context(
            NAME, list(arguments), auto_envvar_prefix="COMMSIM", help_option_names=["-h", "--help"]
        )
        with context:
            context.meta[ARGUMENTS] = arguments
            context.meta[STARTED] = time.perf_counter()
            commands.invoke(context)
    except click.exceptions.NoArgsIsHelpError as help_text:
        put(help_text.format_message())
    except click.exceptions.Exit as leave:
        return leave.exit_code
    return 0
