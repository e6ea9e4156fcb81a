"""``commsim config``: which value each option has, and where that came from."""

from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from simulator.cli._options import form_options
from simulator.cli._output import SETTINGS, emit
from simulator.reports.tables import Column, lay_out


@click.command()
@click.option("--show", is_flag=True, required=True, help="Print each value with where it came from.")
@form_options
@click.pass_context
def command(context: click.Context, show: bool) -> None:  # noqa: ARG001
    """Print the value of every option before anything is typed: flag > variable > file > default."""
    root = context.find_root()
    rows = list(values(root, ""))
    columns = [Column("command"), Column("option"), Column("value"), Column("source", "from")]
    emit({"rows": rows}, lambda: lay_out(rows, columns))


def values(context: click.Context, trail: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each option that has a value, the commands below included."""
    for option in context.command.get_params(context):
        if not isinstance(option, click.Option) or option.hidden or option.is_eager:
            continue
        value, origin = option.consume_value(context, {})
        if value is None or not isinstance(value, (str, int, float, list, tuple)):
            continue  # nothing set
        source = {
            ParameterSource.ENVIRONMENT: f"{context.auto_envvar_prefix}_{option.name}".upper(),
            ParameterSource.DEFAULT_MAP: str(context.meta.get(SETTINGS)),
        }.get(origin, "default")
        yield {"command": trail, "option": max(option.opts, key=len), "value": value, "source": source}
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command:
                inner = click.Context(command, info_name=name, parent=context)
                yield from values(inner, f"{trail} {name}".strip())
