"""The words of the forms: a label and a help for each setting. What is valid is not said here."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """`more`: it stands under "More"; `quiet`: the default needs no words."""

    label: str
    help: str = ""
    more: bool = False
    quiet: bool = False


TIER_WORDS = {"local": "local: this computer", "edge": "LAN: a machine nearby", "cloud": "cloud"}

PROVIDER = {
    "name": Words("Name", "as in name/model; letters, digits, . _ -"),
    "base_url": Words("Address", "of its API, with http:// or https://"),
    "models": Words("Models", "with commas between"),
    "tier": Words("Where", "", quiet=True),
    "priority": Words("Priority", "within its tier, 1 is asked first", more=True),
    "weight": Words("Weight", "share of calls with strategy weighted", more=True),
    "cost_multiplier": Words("Cost factor", "list prices times this", more=True),
    "rpm": Words("Requests a minute", "empty: no limit of ours", more=True),
    "tpm": Words("Tokens a minute", "empty: no limit of ours", more=True),
    "max_concurrency": Words("At once", "calls at the same time", more=True),
    "region": Words("Region", "such as eu-west-1", more=True),
    "prices": Words("Prices", "dollars per million tokens, a line each: model = input 0.15, output 0.60", more=True),
    "context": Words("Context", "tokens, a line each: model = 32768", more=True),
}

ROUTING = {
    "strategy": Words("Strategy", "who is asked first"),
    "mode": Words("Mode", "where calls may go"),
    "default_model": Words("Default model", "provider/model, model or group; empty: any that fits"),
    "failover": Words("Failover", "another provider is asked when one fails"),
    "resume": Words("Resume", "a broken stream is finished by another"),
    "hedge": Words("Hedge", "ask a second after this percentile of first tokens (0.95); empty: never"),
    "hedge_rate": Words("Hedged at most", "share of calls"),
    "when_limited": Words("When limited", "at a rate limit of ours, with nobody else free"),
    "content_filter_failover": Words("Filter failover", "take a refusal by a content filter elsewhere"),
    "max_ttft": Words("First token need", "seconds to the first token that are fast enough; empty: any"),
    "min_quality": Words("Quality need", "0 to 1, certified by evidence (measured); empty: any"),
    "max_latency": Words("Answer need", "seconds to the end of an answer (measured); empty: any"),
    "explore": Words("Explore", "share of calls for what is not measured yet (lowest-latency, measured)"),
    "explore_usd": Words("Explore a day", "dollars that it may cost (measured)"),
    "half_life": Words("Evidence", "days after which it counts half (measured)"),
    "regions": Words("Regions", "the only ones for cloud calls, with commas; empty: all"),
    "discover": Words("Find local servers", "when a router is made"),
}
TIMES = {
    "retries": Words("Retries", "further attempts of a call"),
    "retry_delay": Words("Retry delay", "seconds before the first, then doubled"),
    "connect_timeout": Words("Connect", "seconds"),
    "ttft_timeout": Words("First token", "seconds"),
    "stall_timeout": Words("Stall", "seconds between two tokens"),
    "timeout": Words("Whole call", "seconds"),
}
HEALTH = {
    "health_interval": Words("Health interval", "seconds between looks; 0: only when asked"),
    "breaker_threshold": Words("Breaker", "failures in a row after which one is left alone"),
    "breaker_seconds": Words("Breaker rest", "seconds"),
}
BUDGET = {
    "daily_usd": Words("A day", "dollars (UTC); empty: no limit"),
    "monthly_usd": Words("A month", "dollars (UTC); empty: no limit"),
    "alert_at": Words("Alert at", "share of a limit (0.8 = 80 %)"),
    "when_exceeded": Words("When used up", "reject calls that cost, or queue them until it resets"),
}
CACHE = {
    "mode": Words("Cache", "on keeps answers; record and replay use a cassette"),
    "path": Words("Cassette", "file of record and replay"),
    "ttl": Words("Kept for", "seconds"),
    "max_mb": Words("Size", "megabytes at most"),
    "timing": Words("Replay timing", "with the recorded pauses"),
}
