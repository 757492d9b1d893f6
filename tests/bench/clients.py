"""The clients that are compared, and the worker that runs one of them in a process of its own.

A script that stands alone, so that any interpreter with the client's package can run it:
`python clients.py NAME URL`. It reads one JSON job a line, {"mode", "at_once", "calls"}, and answers each with the
CPU of the whole process (all threads) and the wall times of its calls.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from typing import Any

PROMPT = "Tell me in a hundred words what the quick brown fox did, and why the dog did not mind."
MESSAGES = [{"role": "user", "content": PROMPT}]
KEY = "not-a-key"
LIMIT = 256  # max_tokens, sent by all
LINGER = 0.03  # seconds in which work that a client left for after its answers still counts as its own


class Client(ABC):
    """One way to ask. Both calls return the answer's text."""

    packages: tuple[str, ...] = ()

    @abstractmethod
    async def plain(self) -> str: ...

    @abstractmethod
    async def stream(self) -> str: ...

    async def close(self) -> dict[str, Any]:
        """Facts that only the client knows, at the end."""
        return {}


class Floor(Client):
    """aiohttp and orjson by hand, with nothing around them."""

    packages = ("aiohttp", "orjson")

    def __init__(self, url: str) -> None:
        import aiohttp
        import orjson

        self.url = f"{url}/chat/completions"
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.dumps, self.loads = orjson.dumps, orjson.loads
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        self.reads = self.streams = 0

    def body(self, **more: Any) -> bytes:
        return self.dumps({"model": "m", "messages": MESSAGES, "max_tokens": LIMIT, **more})

    async def plain(self) -> str:
        async with self.session.post(self.url, data=self.body(), headers=self.headers) as response:
            data = self.loads(await response.read())
        return data["choices"][0]["message"]["content"]

    async def stream(self) -> str:
        texts: list[str] = []
        rest = b""
        body = self.body(stream=True, stream_options={"include_usage": True})
        async with self.session.post(self.url, data=body, headers=self.headers) as response:
            async for data in response.content.iter_any():
                self.reads += 1
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    if line.startswith(b"data: ") and line != b"data: [DONE]":
                        choices = self.loads(line[6:])["choices"]
                        if choices:
                            texts.append(choices[0]["delta"].get("content") or "")
        self.streams += 1
        return "".join(texts)

    async def close(self) -> dict[str, Any]:
        await self.session.close()
        return {"reads_per_stream": self.reads / max(1, self.streams)}


class OpenAISDK(Client):
    """The vendor's own SDK."""

    packages = ("openai", "httpx", "httpx2")

    def __init__(self, url: str) -> None:
        import openai

        self.client = openai.AsyncOpenAI(base_url=url, api_key=KEY)

    async def plain(self) -> str:
        made = await self.client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=LIMIT)
        return made.choices[0].message.content

    async def stream(self) -> str:
        chunks = await self.client.chat.completions.create(
            model="m", messages=MESSAGES, max_tokens=LIMIT, stream=True, stream_options={"include_usage": True}
        )
        return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])

    async def close(self) -> dict[str, Any]:
        await self.client.close()
        return {}


class LiteLLM(Client):
    """Its Router over two deployments."""

    packages = ("litellm", "openai", "httpx", "aiohttp")

    def __init__(self, url: str) -> None:
        import litellm

        litellm.suppress_debug_info = True
        params = {"model": "openai/m", "api_base": url, "api_key": KEY}
        self.router = litellm.Router([{"model_name": "m", "litellm_params": params} for _ in range(2)])

    async def plain(self) -> str:
        made = await self.router.acompletion(model="m", messages=MESSAGES, max_tokens=LIMIT)
        return made.choices[0].message.content

    async def stream(self) -> str:
        chunks = await self.router.acompletion(
            model="m", messages=MESSAGES, max_tokens=LIMIT, stream=True, stream_options={"include_usage": True}
        )
        return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])


class HybridNb(Client):
    """The whole engine: a route over two providers, prices, budget, health, and a ledger in a file."""

    packages = ("hybrid-nb", "aiohttp", "httpx2", "httpx-aiohttp", "orjson")

    def __init__(self, url: str) -> None:
        import hybrid_nb

        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        price = {"m": {"input": 0.15, "output": 0.60}}
        provider = {"type": "openai", "base_url": url, "api_key": KEY, "models": ["m"], "prices": price, "rpm": None}
        self.router = hybrid_nb.Router(
            {
                "budget": {"daily_usd": 1e6, "monthly_usd": 1e7},
                "ledger": {"url": f"sqlite:///{Path(self.folder.name) / 'ledger.db'}"},
                "provider": [{"name": "a", "priority": 1, **provider}, {"name": "b", "priority": 2, **provider}],
            }
        )

    async def plain(self) -> str:
        return (await self.router.achat(PROMPT, model="m", max_tokens=LIMIT)).text

    async def stream(self) -> str:
        return "".join([piece async for piece in self.router.stream(PROMPT, model="m", max_tokens=LIMIT)])

    async def close(self) -> dict[str, Any]:
        self.router.close()
        import sqlite3

        db = sqlite3.connect(Path(self.folder.name) / "ledger.db")
        rows, dollars = db.execute("SELECT count(*), total(cost_usd) / 1e12 FROM calls WHERE status = 'ok'").fetchone()
        db.close()
        self.folder.cleanup()
        return {"ledger_rows": rows, "ledger_usd": dollars}


CLIENTS: dict[str, type[Client]] = {"floor": Floor, "openai": OpenAISDK, "litellm": LiteLLM, "hybrid_nb": HybridNb}


async def load(client: Client, mode: str, at_once: int, calls: int) -> dict[str, Any]:
    """So many calls, `at_once` under way at any time."""
    ask = client.plain if mode == "plain" else client.stream
    turns = repeat(None, calls)
    walls: list[float] = []
    lengths: set[int] = set()

    async def one_after_another() -> None:
        for _ in turns:
            start = time.perf_counter()
            text = await ask()
            walls.append(time.perf_counter() - start)
            lengths.add(len(text))

    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    wall = time.perf_counter() - wall
    await asyncio.sleep(LINGER)
    cpu = time.process_time() - cpu
    walls.sort()
    p50, p99 = walls[len(walls) // 2], walls[int(len(walls) * 0.99)]
    return {"calls": calls, "cpu_s": cpu, "wall_s": wall, "p50_s": p50, "p99_s": p99, "lengths": sorted(lengths)}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except ImportError:
            continue
    return found


async def work(name: str, url: str, pipe: Any) -> None:
    client = CLIENTS[name](url)
    say(pipe, {"versions": versions(client.packages), "python": sys.version.split()[0]})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        say(pipe, await load(client, **json.loads(line)))
    say(pipe, await client.close())


def say(pipe: Any, data: dict[str, Any]) -> None:
    pipe.write(json.dumps(data) + "\n")
    pipe.flush()


if __name__ == "__main__":
    answers = sys.stdout
    sys.stdout = sys.stderr  # a package that prints must not disturb the answers
    asyncio.run(work(sys.argv[1], sys.argv[2], answers))
