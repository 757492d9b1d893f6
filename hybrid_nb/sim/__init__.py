"""Simulated vendors: loopback servers that speak four LLM wires, with set speed, accuracy, prices and failures.

>>> from hybrid_nb.sim import Fault, Fleet
>>> with Fleet(seed=1) as fleet:
...     fleet["sim-openai"].fail(Fault("status", status=503))
...     text = fleet.toml()
"""

from .faults import FAULT_KINDS
from .fleet import Fleet, Handle, default_vendors
from .foreground import serve_forever
from .judging import Judge
from .types import Fault, Model, RequestLog, Vendor

__all__ = [
    "FAULT_KINDS",
    "Fault",
    "Fleet",
    "Handle",
    "Judge",
    "Model",
    "RequestLog",
    "Vendor",
    "default_vendors",
    "serve_forever",
]
