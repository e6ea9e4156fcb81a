"""``python -m simulator``: the same program as the console script ``commsim``."""

import sys

from simulator._bootstrap import ensure


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from simulator.cli import process
    except ImportError as error:
        sys.stderr.write("error: %s\n%s" % (error, _owner()))
        sys.exit(1)
    sys.exit(process())


def _owner() -> str:
    """Name other distributions that own our import names: pip lets them overwrite each other."""
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    foreign = {
        owner
        for name in ("simulator", "topologies", "workloads")
        for owner in owners.get(name, ())
        if owner != "commsim"
    }
    if not foreign:
        return ""
    return "  the import name is also owned by: %s; install commsim in an environment of its own\n" % (
        ", ".join(sorted(foreign))
    )


if __name__ == "__main__":
    ensure("simulator")
    main()
