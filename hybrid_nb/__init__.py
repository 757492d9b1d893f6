"""hybrid_nb: LLM calls from a notebook - local, LAN and cloud providers behind one `%%llm`.

>>> import hybrid_nb as hnb
>>> router = hnb.Router()                 # doctest: +SKIP
>>> print(router.chat("Say hi"))          # doctest: +SKIP

Importing this starts no thread, opens no socket and imports neither pandas nor an HTTP client: names load on use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "Router": "hybrid_nb.router",
    "default_router": "hybrid_nb.router",
    "set_default_router": "hybrid_nb.router",
    "Stream": "hybrid_nb.stream",
    "Comparison": "hybrid_nb.compare",
    "Run": "hybrid_nb.bench.results",
    "Reply": "hybrid_nb.core.types",
    "Message": "hybrid_nb.core.types",
    "Tool": "hybrid_nb.core.types",
    "ToolCall": "hybrid_nb.core.types",
    "Usage": "hybrid_nb.core.types",
    "Image": "hybrid_nb.core.types",
    "RoutePlan": "hybrid_nb.core.types",
    "Route": "hybrid_nb.core.types",
}
_WIDGETS: dict[str, str] = {  # need the extra [lab]
    "Arena": "hybrid_nb.notebook.widgets.arena.cell",
    "BenchmarkPanel": "hybrid_nb.notebook.widgets.benchmark.cell",
    "ChatCell": "hybrid_nb.notebook.widgets.chat.cell",
    "HealthPanel": "hybrid_nb.notebook.widgets.health",
    "CostTable": "hybrid_nb.notebook.widgets.costs",
    "Dashboard": "hybrid_nb.notebook.widgets.dashboard",
    "ProviderManager": "hybrid_nb.notebook.widgets.providers.manager",
    "ProviderSelector": "hybrid_nb.notebook.widgets.selector",
}
_MODULES = {"sim": "hybrid_nb.sim", "errors": "hybrid_nb.core.errors", "scorers": "hybrid_nb.bench.scorers"}

__all__ = [  # noqa: PLE0604 - names load on use
    "__version__",
    "load_ipython_extension",
    *sorted({**_NAMES, **_WIDGETS, **_MODULES}),
]

if TYPE_CHECKING:
    from hybrid_nb import sim as sim
    from hybrid_nb.bench import scorers as scorers
    from hybrid_nb.bench.results import Run as Run
    from hybrid_nb.compare import Comparison as Comparison
    from hybrid_nb.core import errors as errors
    from hybrid_nb.core.types import (
        Image as Image,
    )
    from hybrid_nb.core.types import (
        Message as Message,
    )
    from hybrid_nb.core.types import (
        Reply as Reply,
    )
    from hybrid_nb.core.types import (
        Route as Route,
    )
    from hybrid_nb.core.types import (
        RoutePlan as RoutePlan,
    )
    from hybrid_nb.core.types import (
        Tool as Tool,
    )
    from hybrid_nb.core.types import (
        ToolCall as ToolCall,
    )
    from hybrid_nb.core.types import (
        Usage as Usage,
    )
    from hybrid_nb.notebook.widgets.arena.cell import Arena as Arena
    from hybrid_nb.notebook.widgets.benchmark.cell import BenchmarkPanel as BenchmarkPanel
    from hybrid_nb.notebook.widgets.chat.cell import ChatCell as ChatCell
    from hybrid_nb.notebook.widgets.costs import CostTable as CostTable
    from hybrid_nb.notebook.widgets.dashboard import Dashboard as Dashboard
    from hybrid_nb.notebook.widgets.health import HealthPanel as HealthPanel
    from hybrid_nb.notebook.widgets.providers.manager import (
        ProviderManager as ProviderManager,
    )
    from hybrid_nb.notebook.widgets.selector import (
        ProviderSelector as ProviderSelector,
    )
    from hybrid_nb.router import (
        Router as Router,
    )
    from hybrid_nb.router import (
        default_router as default_router,
    )
    from hybrid_nb.router import (
        set_default_router as set_default_router,
    )
    from hybrid_nb.stream import Stream as Stream


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name in _WIDGETS:
        import_module("hybrid_nb.core.late").late("ipywidgets", "lab")  # an error that names the extra
        value = getattr(import_module(_WIDGETS[name]), name)
    else:
        raise AttributeError(f"module 'hybrid_nb' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext hybrid_nb`: the magics; and `df.llm`, where pandas is there already."""
    import sys

    from hybrid_nb.notebook.magics import register

    register(shell)
    if "pandas" in sys.modules:
        import_module("hybrid_nb.pandas")


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext hybrid_nb`."""
    from hybrid_nb.notebook.magics import unregister

    unregister(shell)
