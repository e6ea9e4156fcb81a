"""Install what the tests need, then run them; arguments go to pytest."""

import sys

from simulator._bootstrap import ROOT, ensure

if __name__ == "__main__":
    ensure("tests", "test")
    import os

    import pytest

    os.chdir(ROOT)
    sys.exit(pytest.main(sys.argv[1:]))
