"""``commsim completion``: what a shell needs to complete commands, options and names."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from simulator.cli._main import COMPLETE, NAME
from simulator.cli._options import Choice
from simulator.cli._output import put

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=Choice("shell", SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commsim's commands, options and names.

    bash: eval "$(commsim completion bash)"
    """
    script = SHELLS[shell](context.find_root().command, {}, NAME, COMPLETE)
    put(script.source_template % script.source_vars())
