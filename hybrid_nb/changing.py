"""Changes of a configuration: pure functions from one to the next, what can be undone, and how two differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from hybrid_nb import setup
from hybrid_nb.core.config import Settings, is_reference, nearest, validate
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.models import canonical
from hybrid_nb.core.provider import Provider
from hybrid_nb.state import State

Data = dict[str, Any]
Change = Callable[[Data], None]
SECTIONS = ("budget", "cache")  # that configure() takes beside [router]'s own keys
REMEMBERED = 50  # changes that can be undone


class Arranged(NamedTuple):
    """Settings after a change, and the providers beside them that were found and not configured."""

    settings: Settings
    found: tuple[Provider, ...]


def changed(old: State, change: Change, gone: str | None = None) -> Arranged:
    """The arrangement after `change` was made to the plain settings. Raises ConfigError, and nothing is changed."""
    data = plain(old.settings)
    found = tuple(p for p in unconfigured(old) if p.name != gone)
    change(data)
    settings = validate(data, "the change")
    named = {item.name for item in settings.provider}  # one that was found may since have been configured
    others = {p.name for p in found}
    return Arranged(setup.check(settings, "the change", others), tuple(p for p in found if p.name not in named))


def plain(settings: Settings) -> Data:
    """What was set, as dicts that may be changed."""
    data = settings.model_dump(exclude_unset=True)
    sections = {name: dict(data.get(name, {})) for name in ("router", *SECTIONS) if name in data or name == "router"}
    return {**data, **sections, "provider": [dict(item) for item in data.get("provider", ())]}


def unconfigured(state: State) -> tuple[Provider, ...]:
    """The providers that were found by themselves."""
    configured = {item.name for item in state.settings.provider}
    return tuple(p for p in state.providers.values() if p.name not in configured)


def configuring(changes: Mapping[str, Any]) -> Change:
    """[router]'s keys; `budget` and `cache` are dicts of theirs; `group` one of groups, of which None takes one out."""
    own = {key: value for key, value in changes.items() if key not in (*SECTIONS, "group")}

    def change(data: Data) -> None:
        data["router"].update(own)
        for name in SECTIONS:
            if name in changes:
                data[name] = {**data.get(name, {}), **_table(name, changes[name])}
        if "group" in changes:
            groups = {**data.get("group", {}), **_table("group", changes["group"])}
            data["group"] = {name: members for name, members in groups.items() if members is not None}

    return change


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dict of its keys, not {type(value).__name__}")
    return value


def updating(provider: Provider, changes: Mapping[str, Any]) -> Change:
    """New settings for a provider; one that was found by itself is configured by that. None takes a key out."""

    def change(data: Data) -> None:
        item = next((item for item in data["provider"] if item["name"] == provider.name), None)
        if item is None:
            item = setup.as_settings(provider)
            data["provider"].append(item)
        item.update(changes)
        for key in [key for key, value in item.items() if value is None]:
            del item[key]

    return change


def removing(name: str, everywhere: bool, state: State) -> Change:
    """Without this provider; `everywhere`: out of groups, rollouts and the default model too."""
    alone = _only_at(name, state)

    def ours(target: str) -> bool:
        return target.partition("/")[0] == name or canonical(target) in alone

    def change(data: Data) -> None:
        data["provider"][:] = [item for item in data["provider"] if item["name"] != name]
        if everywhere:
            _take_out(data, ours)

    return change


def _only_at(name: str, state: State) -> set[str]:
    """What the models are called that no other provider has."""
    others = {canonical(info.id) for p in state.providers.values() if p.name != name for info in p.models}
    return {canonical(info.id) for info in state.providers[name].models} - others


def _take_out(data: Data, ours: Callable[[str], bool]) -> None:
    groups = data.get("group", {})
    kept = {group: [m for m in members if not ours(m)] for group, members in groups.items()}
    gone = {group for group, members in kept.items() if not members}
    if groups:
        data["group"] = {group: members for group, members in kept.items() if members}
    if "rollout" in data:
        running = data["rollout"].items()
        data["rollout"] = {m: r for m, r in running if not (ours(r["to"]) or m in gone or (m not in kept and ours(m)))}
    default = data["router"].get("default_model")
    if default is not None and (default in gone if default in kept else ours(default)):
        del data["router"]["default_model"]


def mentions(settings: Settings, name: str) -> list[str]:
    """Where else a provider is named: "group fast", "rollout of fast", "default model"."""
    found = [f"group {group}" for group, ms in settings.group.items() if any(m.startswith(f"{name}/") for m in ms)]
    found += [f"rollout of {model}" for model, r in settings.rollout.items() if r.to.startswith(f"{name}/")]
    default = settings.router.default_model or ""
    return [*found, "default model"] if default.startswith(f"{name}/") else found


def ordering(names: Sequence[str], state: State) -> Change:
    """Providers in this order, with priorities within each tier to match. Raises ConfigError for other names."""
    if sorted(names) != sorted(state.providers):
        wrong = next((name for name in names if name not in state.providers), None)
        told = f"no provider {wrong!r}{nearest(wrong, state.providers)}" if wrong else "name every provider once"
        raise ConfigError(f"the order: {told}")

    def change(data: Data) -> None:
        items = {item["name"]: item for item in data["provider"]}
        places: dict[str, int] = {}
        for name in names:
            provider = state.providers[name]
            places[provider.tier] = places.get(provider.tier, 0) + 1
            item = items.setdefault(name, setup.as_settings(provider))
            item["priority"] = places[provider.tier]
        data["provider"][:] = [items[name] for name in names]

    return change


class Past(NamedTuple):
    """What was in force before a change, and what the change was."""

    what: str
    state: State


class History:
    """The last changes, newest last."""

    def __init__(self) -> None:
        self._past: list[Past] = []

    def add(self, what: str, before: State) -> None:
        self._past = [*self._past[-REMEMBERED + 1 :], Past(what, before)]

    @property
    def last(self) -> str | None:
        """What would be undone; None: nothing."""
        return self._past[-1].what if self._past else None

    def take(self) -> Past:
        """The newest, which is forgotten. Raises ConfigError when there is none."""
        if not self._past:
            raise ConfigError("there is no change to undo")
        return self._past.pop()


def differences(old: Settings, new: Settings) -> list[str]:
    """What differs, as short lines that hold no key: "router.retries: 2 -> 1", "provider 'b': added"."""
    lines: list[str] = []
    for section in Settings.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if section == "provider":
            lines += _providers({p.name: p for p in before}, {p.name: p for p in after})
        elif isinstance(before, dict):
            lines += _fields(section, before, after)
        else:
            lines += _fields(section, _values(before), _values(after))
    return lines


def _values(section: BaseModel) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _providers(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lines = [f"provider {name!r}: added" for name in after if name not in before]
    lines += [f"provider {name!r}: removed" for name in before if name not in after]
    for name in before:
        if name in after:
            lines += _fields(f"provider {name!r}", _values(before[name]), _values(after[name]))
    if not lines and list(before) != list(after):
        lines.append("providers: another order")
    return lines


def _fields(where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names: Iterable[str] = dict.fromkeys((*before, *after))
    return [
        f"{where}.{name}: {_shown(name, before.get(name))} -> {_shown(name, after.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    if name == "api_key":
        return value if is_reference(str(value)) else "a key"
    if name == "endpoints":
        return f"{len(value)} addresses"
    return str(value)
