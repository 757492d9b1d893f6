"""``python -m hybrid_nb.sim``: the default fleet in the foreground, its configuration on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from . import Fleet, serve_forever


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the configuration, then serve until a signal."""
    options = _parser().parse_args(arguments)
    serve_forever(Fleet(seed=options.seed), lambda fleet: _show(fleet, as_json=options.json))


def _show(fleet: Fleet, *, as_json: bool) -> None:
    sys.stdout.write(json.dumps(fleet.config(), indent=2) + "\n" if as_json else fleet.toml())
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hybrid_nb.sim", description="Run the simulated vendors.")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is chance")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--toml", action="store_true", help="print the configuration as TOML (the default)")
    form.add_argument("--json", action="store_true", help="print the configuration as JSON")
    return parser


if __name__ == "__main__":
    main()
