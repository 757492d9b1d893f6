"""`python -m tests.bench`."""

import sys

from . import run, soak

if sys.argv[1:2] == ["soak"]:
    sys.exit(soak.main(sys.argv[2:]))
sys.exit(run.main())
