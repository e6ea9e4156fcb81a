"""Defaults from a file: ``--config FILE``, else ``commsim.toml`` in the working directory.

Keys at the top are options of ``commsim`` itself, a table holds those of the command it is named after::

    no-color = true
    [flows]
    fold = "off"
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from simulator.errors import CommsimError, Fault, InputError, nearest

USUAL = "commsim.toml"


def settings(path: str | None, root: click.Context) -> tuple[str, dict[str, Any]]:
    """Return where the settings came from, empty if nowhere, and click's map of defaults.

    Parameters
    ----------
    path : str, optional
        The file as typed; the usual one, if there is one, when left out.
    root : click.Context
        Of ``commsim`` itself.

    Raises
    ------
    InputError
        Missing file, not TOML, a key that no command has, a value that an option does not take.
    """
    if path is None and not Path(USUAL).is_file():
        return "", {}
    from simulator.reading import parse_toml, read_text

    source = path or USUAL
    faults: list[Fault] = []
    defaults = dict(_defaults(parse_toml(read_text(source), source), root, "", faults))
    if faults:
        raise InputError(source, faults)
    return source, defaults


def _defaults(
    table: Mapping[str, Any], context: click.Context, trail: str, faults: list[Fault]
) -> Iterator[tuple[str, Any]]:
    options = {key: option for option in context.command.params for key in _keys(option)}
    group = context.command if isinstance(context.command, click.Group) else None
    commands = group.list_commands(context) if group else []
    for key, value in table.items():
        name, place = key.replace("_", "-"), f"{trail}{key}"
        if group and name in commands and isinstance(value, dict):
            command = group.get_command(context, name)
            if command is not None:
                inner = click.Context(command, info_name=name, parent=context)
                yield name, dict(_defaults(value, inner, f"{place}.", faults))
        elif group and name in commands:
            faults.append(Fault(f"{value!r}; wanted a table [{name}]".lower(), place))
        elif name not in options:
            close = nearest(name, [*options, *commands], 1)
            faults.append(
                Fault(f"unknown key '{key}'" + (f", did you mean '{close[0]}'?" if close else ""), place)
            )
        elif fault := _refusal(options[name], value, context):
            faults.append(Fault(fault, place))
        else:
            yield str(options[name].name), value


def _keys(option: click.Parameter) -> list[str]:
    if not isinstance(option, click.Option) or option.is_eager:  # --help, --version and --config itself
        return []
    return [name.removeprefix("--") for name in option.opts if name.startswith("--")]


def _refusal(option: click.Parameter, value: Any, context: click.Context) -> str:
    """Return why an option does not take a value, empty if it does."""
    switch = isinstance(option, click.Option) and option.is_flag
    if switch != isinstance(value, bool):
        return "wanted true or false" if switch else f"{value!r}; wanted a value".lower()
    if isinstance(value, (dict, list)):
        return "wanted one value"
    try:
        option.type_cast_value(context, value)
    except CommsimError as error:
        return error.message + (f"; try {error.hint}" if error.hint else "")
    except click.BadParameter as error:
        return error.message
    return ""
