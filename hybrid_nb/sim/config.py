"""A running vendor as configuration: a dictionary, or TOML text."""

from __future__ import annotations

import json

from .types import Json, Vendor


def provider(vendor: Vendor, base_url: str) -> Json:
    """A vendor as one provider of a configuration; unknown prices and absent keys are left out."""
    fields: Json = {
        "name": vendor.name,
        "type": vendor.wire,
        "base_url": base_url,
        "api_key": vendor.key,
        "models": [model.name for model in vendor.models],
        "tier": vendor.tier,
        "priority": vendor.priority,
        "prices": _prices(vendor),
        "max_concurrency": None if vendor.tier == "cloud" else 1000,  # simulated servers take any number at once
    }
    return {key: value for key, value in fields.items() if value is not None and value != {}}


def _prices(vendor: Vendor) -> Json:
    free = 0.0 if vendor.tier == "local" else None
    pairs = {
        model.name: {
            "input": free if model.input_price is None else model.input_price,
            "output": free if model.output_price is None else model.output_price,
        }
        for model in vendor.models
    }
    return {name: pair for name, pair in pairs.items() if None not in pair.values()}


def toml(provider: Json) -> str:
    """One provider as a TOML table."""
    prices = provider.get("prices", {})
    lines = ["[[provider]]"]
    lines += [f"{key} = {_toml_value(value)}" for key, value in provider.items() if key != "prices"]
    for name, pair in prices.items():
        lines.append(f"\n[provider.prices.{_toml_value(name)}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in pair.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    """Text, numbers and lists of them read the same in JSON and in TOML, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
