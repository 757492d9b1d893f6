"""A stream whose server is killed is gone on with by another real server, from the partial text."""

from __future__ import annotations

from collections.abc import Callable

from hybrid_nb import Router

from .server import Server


def test_another_server_writes_the_rest(
    mortal: Server, open_server: Server, make_router_of: Callable[..., Router]
) -> None:
    router = make_router_of(mortal, open_server)
    stream = router.stream("Say hi", max_tokens=200, temperature=0, seed=1)
    seen = [next(stream) for _ in range(8)]
    mortal.kill()
    seen.extend(stream)
    reply = stream.reply
    assert reply.text == "".join(seen)
    assert reply.finish == "length"
    assert [(a.provider, a.outcome, a.part) for a in reply.route.attempts] == [
        ("first", "interrupted", ""),
        ("second", "ok", "prefill"),
    ]
    shown = reply.text[: len("".join(seen[:8]))]
    assert reply.text.startswith(shown)
    assert len(reply.text) > len(shown)
