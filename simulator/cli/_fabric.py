"""FABRIC on the command line."""

import click

from simulator.cli._kinds import names
from simulator.cli._options import COUNT, NameOrFile

FABRIC = NameOrFile("fabric", lambda: names("fabrics"), "commsim list fabrics")

fabric_argument = click.argument("fabric", type=FABRIC)
fabric_option = click.option(
    "--fabric", type=FABRIC, required=True, help="A name of the catalogue or a file."
)
gpus_option = click.option("--gpus", type=COUNT, help="GPUs that take part; a file has the GPUs that it has.")
