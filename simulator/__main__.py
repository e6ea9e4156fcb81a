"""``python -m simulator``: the same program as the console script ``commsim``."""

import gc
import sys

from simulator._bootstrap import ensure

COLLECT = (100000, 40, 20)  # for the garbage collector: of a large fabric nothing is garbage


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(*COLLECT)
    try:
        from simulator.cli import run
    except ImportError as error:
        sys.stderr.write("error: %s\n%s" % (error, _owner()))
        sys.exit(1)
    sys.exit(run())


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
