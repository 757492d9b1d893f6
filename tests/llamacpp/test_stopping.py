"""Calls that are stopped, and servers that die. The server must see the connection close, or it works on for nobody."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from hybrid_nb import Router
from hybrid_nb.errors import ConnectionFailedError, ProviderTimeoutError, StreamInterruptedError

from .server import SLOTS, Server

pytestmark = [pytest.mark.llamacpp, pytest.mark.timeout(60)]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts arrive, also where the tests were started in the background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_cancel_in_mid_stream(server: Server, router: Router) -> None:
    stream = router.stream("Say hi")
    assert next(stream)
    server.wait_busy()
    stream.cancel()
    server.wait_idle()
    assert router.chat("Say hi", max_tokens=5).text
    assert list(router.calls()["status"]) == ["cancelled", "ok"]


def test_leaving_the_with_block_cancels(server: Server, router: Router) -> None:
    with router.stream("Say hi") as stream:
        assert next(stream)
        server.wait_busy()
    server.wait_idle()


def test_a_stream_that_nobody_holds_is_stopped(server: Server, router: Router) -> None:
    stream = router.stream("Say hi")
    assert next(stream)
    server.wait_busy()
    del stream
    server.wait_idle()


async def test_cancelling_the_task_cancels_the_request(server: Server, router: Router) -> None:
    task = asyncio.create_task(router.achat("Say hi"))
    await asyncio.to_thread(server.wait_busy)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_idle)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("streamed", [False, True])
def test_interrupt_stops_the_server_and_the_next_call_works(server: Server, router: Router, streamed: bool) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        server.wait_busy()
        signal.pthread_kill(main, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        _ = list(router.stream("Say hi")) if streamed else router.chat("Say hi")
    helper.join()
    server.wait_idle()
    assert router.chat("Say hi", max_tokens=5).usage.output_tokens == 5


def test_one_of_several_is_cancelled_and_the_others_go_on(server: Server, router: Router) -> None:
    streams = [router.stream(f"Say {n}") for n in range(SLOTS)]
    for stream in streams:
        assert next(stream)
    server.wait_busy(SLOTS)
    streams[0].cancel()
    server.wait_busy(SLOTS - 1)
    for stream in streams[1:]:
        assert next(stream)
        stream.cancel()
    server.wait_idle()


def test_a_deadline_stops_the_server_too(server: Server, router: Router) -> None:
    with pytest.raises(ProviderTimeoutError):
        router.chat("Say hi", timeout=0.3)
    server.wait_idle()


def test_killed_in_mid_stream_then_gone_then_back(mortal: Server, route: Callable[..., Router]) -> None:
    router = route(mortal, router={"retries": 0})
    stream = router.stream("Say hi")
    seen = next(stream)
    mortal.kill()
    with pytest.raises(StreamInterruptedError) as broken:
        _ = stream.reply
    assert broken.value.partial_text.startswith(seen)
    with pytest.raises(ConnectionFailedError) as gone:
        router.chat("Say hi")
    assert (gone.value.provider, gone.value.retryable) == ("llama", True)
    mortal.start()
    assert router.chat("Say hi", max_tokens=5).text


def test_a_call_waits_for_a_server_that_is_just_starting(mortal: Server, route: Callable[..., Router]) -> None:
    router = route(mortal, router={"retries": 50, "retry_delay": 0.1, "breaker_threshold": 100})
    mortal.kill()
    starting = threading.Timer(0.3, mortal.spawn)
    starting.start()
    reply = router.chat("Say hi", max_tokens=5)
    starting.join()
    failed = [attempt.error for attempt in reply.route.attempts[:-1]]
    assert failed
    assert all(error.startswith(("ConnectionFailedError", "ServiceUnavailableError")) for error in failed)
