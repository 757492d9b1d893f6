"""Heavy or rarely used packages, imported when first needed, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any


def late(module: str, extra: str) -> Any:
    """The module; raises ImportError with the install command when it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name and not module.startswith(error.name):
            raise
        raise ImportError(f"{module} is needed for this: pip install 'hybrid-nb[{extra}]'", name=module) from None
