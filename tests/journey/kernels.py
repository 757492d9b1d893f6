"""Real kernels without a browser: what a front end would send, and everything that comes back.

Each test runs on ipykernel 7 (installed) and on ipykernel 6 (in a folder of its own, see `OLD`): the two differ in
which cell a background output belongs to, and only 7 has subshells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from tests.conftest import own_places

ROOT = Path(__file__).parents[2]
OLD = "HYBRID_NB_IPYKERNEL6"
MAKE_OLD = f"pip install --no-deps --target DIR 'ipykernel>=6.31,<7' nest-asyncio, then {OLD}=DIR"
KINDS = ("ipykernel7", "ipykernel6")
PATIENCE = 40.0  # seconds for one cell
Message = dict[str, Any]


class Kernel:
    """A kernel, its cells' messages and, in `heard`, all that it published since it started."""

    def __init__(self, kind: str, manager: KernelManager, client: Any) -> None:
        self.kind = kind
        self.manager = manager
        self.client = client
        self.heard: list[Message] = []
        self.interrupted = 0.0

    @property
    def has_subshells(self) -> bool:
        return self.kind == "ipykernel7"

    def start(self, code: str, cell: str | None = None) -> str:
        """Sends a cell and does not wait; its request's id. `cell` is the cell's own, as some front ends tell it."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        content["stop_on_error"] = False  # else what is sent within 0.1 s of an error is dropped
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else None)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def next(self, patience: float = PATIENCE) -> Message:
        """The next published message, with "type", "of" (the request's id) and "at" beside its content."""
        message = self.client.get_iopub_msg(timeout=patience)
        parent = message["parent_header"].get("msg_id")
        self.heard.append({"type": message["msg_type"], "of": parent, "at": time.monotonic(), **message["content"]})
        return self.heard[-1]

    def until(self, done: Callable[[Message], bool], what: str, patience: float = PATIENCE) -> Message:
        """Listens until a message is the one that is waited for."""
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            message = self.next(patience)
            if done(message):
                return message
        raise TimeoutError(f"no {what}; last heard: {self.heard[-3:]}")

    def end(self, request: str, patience: float = PATIENCE) -> list[Message]:
        """Listens until this request was dealt with; its messages in order."""
        if not any(_is_end(m, request) for m in self.heard):
            self.until(lambda m: _is_end(m, request), f"end of {request}", patience)
        return [m for m in self.heard if m["of"] == request and not _is_end(m, request)]

    def run(
        self, code: str, interrupt_when: str | None = None, patience: float = PATIENCE, cell: str | None = None
    ) -> list[Message]:
        """A cell's messages, in order; interrupted once `interrupt_when` was shown."""
        request = self.start(code, cell)
        if interrupt_when is not None:
            self.until(lambda m: m["of"] == request and interrupt_when in str(m.get("data", "")), interrupt_when)
            self.interrupted = time.monotonic()
            self.manager.interrupt_kernel()
        return self.end(request, patience)

    def do(self, code: str) -> list[Message]:
        """A cell that must not fail."""
        messages = self.run(code)
        assert [m["traceback"] for m in messages if m["type"] == "error"] == []
        return messages

    def value(self, expression: str) -> str:
        """The text of what a cell gives."""
        return [m for m in self.do(expression) if m["type"] == "execute_result"][-1]["data"]["text/plain"]

    def reply(self, request: str, patience: float = PATIENCE) -> Message:
        """The answer on the shell channel, which says how a cell ended."""
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            message = self.client.get_shell_msg(timeout=patience)
            if message["parent_header"].get("msg_id") == request:
                return message["content"]
        raise TimeoutError(f"no reply to {request}")

    # what a front end does with widgets

    def model_id(self, widget: str) -> str:
        """The id by which a front end knows the widget of this name."""
        return self.value(f"print({widget}.model_id, end='')\n{widget}.model_id").strip("'")

    def send_comm(self, model: str, data: dict[str, Any], subshell: str | None = None) -> str:
        """A message of a front end to a widget; its id."""
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def click(self, model: str, subshell: str | None = None) -> str:
        """A click on a button."""
        return self.send_comm(model, {"method": "custom", "content": {"event": "click"}}, subshell)

    def fill(self, model: str, subshell: str | None = None, **state: Any) -> str:
        """What a user typed or chose: new values of a widget's traits."""
        return self.send_comm(model, {"method": "update", "state": state, "buffer_paths": []}, subshell)

    def states(self, model: str) -> list[dict[str, Any]]:
        """All updates that the kernel sent to the widget's view, in order."""
        mine = [m["data"] for m in self.heard if m["type"] == "comm_msg" and m["comm_id"] == model]
        return [data["state"] for data in mine if data.get("method") == "update"]

    @contextmanager
    def subshell(self) -> Iterator[str]:
        """A second thread of the kernel that handles messages while a cell is busy, as JupyterLab opens for widgets."""
        made = self._control("create_subshell_request", {})
        yield made["subshell_id"]
        self._control("delete_subshell_request", {"subshell_id": made["subshell_id"]})

    def _control(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            answer = self.client.get_control_msg(timeout=PATIENCE)
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                assert answer["content"]["status"] == "ok", answer["content"]
                return answer["content"]
        raise TimeoutError(f"no reply to {kind}")


def _is_end(message: Message, request: str) -> bool:
    return message["of"] == request and message["type"] == "status" and message["execution_state"] == "idle"


def environment(kind: str, folder: Path) -> dict[str, str]:
    """The environment of a kernel of this kind, which imports the checkout; skips where the old one is not there."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    if kind == "ipykernel6":
        old = os.environ.get(OLD)
        if not old:
            pytest.skip(f"no ipykernel 6: {MAKE_OLD}")
        paths.insert(0, old)
    return {**own_places(folder), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Kernel]:
    """A kernel of this kind, in its folder."""
    env = environment(kind, folder)
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--IPKernelApp.log_level=40"], cwd=str(folder), env=env)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(kind, manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
