"""`python -m tests.bench`."""

import sys

from . import run, soak, truth

if sys.argv[1:2] == ["soak"]:
    sys.exit(soak.main(sys.argv[2:]))
if sys.argv[1:2] == ["truth"]:
    sys.exit(truth.main(sys.argv[2:]))
sys.exit(run.main())
