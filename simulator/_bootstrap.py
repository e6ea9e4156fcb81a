"""Set up a checkout on a fresh machine: make .venv once, install what is missing, go on inside it.

Standard library and Python 3.6 syntax only, so that an old Python gets a sentence and not a traceback.
It never installs into an environment that it did not make.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from typing import List

MINIMUM = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")


def ensure(module: str, extra: str = "") -> None:
    """Return if this Python can run ``module``; else set up .venv and run ``module`` there instead.

    Parameters
    ----------
    module : str
        What ``python -m`` was asked to run.
    extra : str
        Optional dependencies that it needs, e.g. ``test``.
    """
    if sys.version_info < MINIMUM:
        stop(
            "needs Python %d.%d or newer, this is %d.%d" % (MINIMUM + sys.version_info[:2]),
            "uv run commsim demo   (uv fetches a Python by itself)",
        )
    if not os.path.exists(os.path.join(ROOT, "pyproject.toml")):
        return  # an installed package: the installer saw to the dependencies
    inside = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    if stamped(extra) if inside and made() else satisfied(extra):
        return
    if made() or not os.path.exists(python()):
        if not stamped(extra):
            install(extra)
    elif inside or not satisfied_there(extra):
        stop(
            ".venv was made by somebody else and lacks what %s needs" % module,
            "%s -m pip install -e '%s', or remove .venv" % (os.path.relpath(python()), target(extra)),
        )
    if not inside:
        os.execv(python(), [python(), "-m", module, *sys.argv[1:]])


def python() -> str:
    """Return the Python of .venv."""
    return os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")


def target(extra: str) -> str:
    """Return what pip is to install: the checkout, with an extra."""
    return ROOT + ("[%s]" % extra if extra else "")


def made() -> bool:
    """Tell whether .venv was made here and not by somebody else."""
    return os.path.exists(stamp("made"))


def stamp(extra: str) -> str:
    """Return the file that says which pyproject.toml an installation was made for."""
    return os.path.join(VENV, ".commsim-" + (extra or "base"))


def wanted() -> str:
    """Return the hash of pyproject.toml: another file needs another installation."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as project:
        return hashlib.sha256(project.read()).hexdigest()


def stamped(extra: str) -> bool:
    """Tell whether .venv was installed for the present pyproject.toml, extras included."""
    for name in {extra, "test"}:
        try:
            with open(stamp(name)) as found:
                if found.read() == wanted():
                    return True
        except OSError:
            continue
    return False


def satisfied(extra: str) -> bool:
    """Tell whether an environment of somebody else's holds every requirement."""
    import tomllib
    from importlib import metadata

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as project:
        tables = tomllib.load(project)["project"]
    needs = tables["dependencies"] + (tables["optional-dependencies"][extra] if extra else [])
    for need in needs:
        name, least = re.findall(r"^([\w.-]+)(?:>=([\d.]+))?", need)[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return False
        if numbers(version) < numbers(least or "0"):
            return False
    return True


def numbers(version: str) -> "List[int]":
    """Return the leading numbers of a version, e.g. 8.5.1rc1 -> [8, 5, 1]."""
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def satisfied_there(extra: str) -> bool:
    """Tell the same of the .venv that somebody else made."""
    question = "import sys; from simulator._bootstrap import satisfied; sys.exit(not satisfied(%r))" % extra
    return subprocess.call([python(), "-c", question], cwd=ROOT, stderr=subprocess.DEVNULL) == 0


def install(extra: str) -> None:
    """Make .venv if it is missing and install the checkout into it."""
    say("setting up %s (once, about a minute)" % os.path.relpath(VENV))
    uv = shutil.which("uv")
    if not os.path.exists(python()):
        if uv:
            run([uv, "venv", "--quiet", "--python", sys.executable, VENV])
        else:
            make_venv()
        with open(stamp("made"), "w"):
            pass
    pip = [uv, "pip", "install", "--python", python()] if uv else [python(), "-m", "pip", "install"]
    run([*pip, "--quiet", "-e", target(extra)])
    with open(stamp(extra), "w") as done:
        done.write(wanted())


def make_venv() -> None:
    """Make .venv with the standard library, or say which package of the system is missing."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        stop("this Python has no venv module with pip", "sudo apt install python3-venv")
    run([sys.executable, "-m", "venv", VENV])


def run(command: "List[str]") -> None:
    """Run one step of the set-up; stop with a sentence if it fails."""
    if subprocess.call(command, stdout=sys.stderr) != 0:
        stop("set-up failed at: " + " ".join(command), "look at the lines above; remove .venv to start over")


def say(text: str) -> None:
    """Tell what is going on, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def stop(fault: str, way_out: str) -> None:
    """End with the fault and the way out."""
    say("error: %s\n  try: %s" % (fault, way_out))
    sys.exit(2)
