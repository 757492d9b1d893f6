"""router.map on a dask cluster of processes on this machine: one ledger, one purse, and workers that die."""

from __future__ import annotations

import _thread
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest

from hybrid_nb.core.errors import AuthenticationError, ConfigError, HybridNbError
from hybrid_nb.mapping.order import carried, processes
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet, Model, Vendor, tokens

distributed = pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
ROOT = Path(__file__).parents[2]
MODEL = "v/m"
SECRET = "sk-planted-and-never-to-be-seen"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Any]:
    models = (Model("m", 0.0, float("inf"), 1.0, 1.0, 2.0, context=100_000),)
    with Fleet([Vendor("v", "openai", models, key=SECRET)], seed=3) as fleet:
        yield fleet["v"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two worker processes, which have the key in their environment."""
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "MAP_KEY")}
    os.environ |= {"PYTHONPATH": str(ROOT), "MAP_KEY": SECRET}
    folder = str(tmp_path_factory.mktemp("dask"))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0", local_directory=folder,
        worker_dashboard_address=None,
    )  # fmt: skip
    client = distributed.Client(cluster)
    try:
        yield client
    finally:
        client.close()
        cluster.close()
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def cloud(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    vendor.heal()
    vendor.clear()
    vendor.set(ttft=0.0, tokens_per_second=float("inf"))
    monkeypatch.setenv("MAP_KEY", SECRET)
    return vendor


@pytest.fixture
def make(cloud: Any, tmp_path: Path) -> Iterator[Any]:
    made: list[Router] = []

    def make(**sections: Any) -> Router:
        provider = {
            "name": "v", "type": "custom", "base_url": cloud.base_url, "models": ["m"], "tier": "cloud",
            "api_key": "env:MAP_KEY", "prices": {"m": {"input": 1.0, "output": 2.0}},
            **sections.pop("provider", {}),
        }  # fmt: skip
        config = {"provider": [provider], "ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"}, **sections}
        made.append(Router(config))
        return made[-1]

    yield make
    for router in made:
        router.close()


def sums(n: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(n)})


def ask(router: Router, frame: Any, client: Any, **options: Any) -> Any:
    given = {"model": MODEL, "progress": False, "max_tokens": 20, **options}
    return router.map(frame, "What is {n} + 1?", client=client, **given)


def spent(vendor: Any) -> float:
    asked = sum(tokens.count(m["content"]) for log in vendor.chats for m in log.body["messages"])
    return asked * 1e-6 + sum(log.tokens_out for log in vendor.chats) * 2e-6


def answers(n: int) -> list[str]:
    return [f"{i} + 1 = {i + 1}." for i in range(n)]


def test_a_frame_is_asked_for_by_workers_and_by_none_of_them_twice(make, cloud, client):
    router = make()
    frame = pd.DataFrame({"n": [i % 40 for i in range(100)]}, index=range(500, 600))
    found = ask(router, frame, client)
    assert list(found.output) == [f"{i % 40} + 1 = {i % 40 + 1}." for i in range(100)]
    assert found.index.equals(frame.index)
    assert len(cloud.chats) == 40
    assert found.cost_usd.sum() == pytest.approx(spent(cloud))
    pd.testing.assert_frame_equal(ask(router, frame, None), found)  # here too it is known
    assert len(cloud.chats) == 40
    assert len(router.calls()) == 40  # one ledger


def test_a_dask_frame_stays_on_the_cluster(make, cloud, client):
    frame = dd.from_pandas(pd.DataFrame({"n": [i % 30 for i in range(100)]}), npartitions=4)
    found = ask(make(), frame, client, output=list[int], into="x")
    assert hasattr(found, "to_delayed")
    assert found.divisions == frame.divisions
    here = found.compute()
    assert list(here.n) == [i % 30 for i in range(100)]
    assert all(isinstance(value, list) for value in here.x)
    assert here.x_error.isna().all()
    assert len(cloud.chats) == 30
    assert here.x_cost_usd.sum() == pytest.approx(spent(cloud))


@pytest.mark.parametrize("dask_frame", [False, True])
def test_a_worker_killed_in_the_middle(make, cloud, client, dask_frame):
    """Every row once in the result, no finished call asked again, and no budget overshot."""
    rows, at_once, cap = 300, 8, 0.02
    cloud.set(ttft=0.02, tokens_per_second=1000)
    router = make(budget={"daily_usd": 1, "monthly_usd": None})
    at: list[int] = []
    killed = threading.Thread(target=_kill_one, args=(client, cloud, 80, at))
    killed.start()
    frame = dd.from_pandas(sums(rows), npartitions=6) if dask_frame else sums(rows)
    found = ask(router, frame, client, max_cost=cap, concurrency=at_once)
    found = found.compute() if dask_frame else found
    killed.join(30)
    assert 80 <= at[0] < rows - at_once  # it was in the middle
    assert list(found.n) == list(range(rows))
    assert list(found.output) == answers(rows)
    assert found.error.isna().all()
    prompts = [log.body["messages"][-1]["content"] for log in cloud.chats]
    assert len(set(prompts)) == rows
    assert len(prompts) - rows <= at_once  # what the dead worker had under way
    assert spent(cloud) <= cap
    kept = router._ledger.rows("SELECT COUNT(*), COUNT(DISTINCT key) FROM mapped")[0]
    assert kept == (rows, rows)


def _kill_one(client: Any, cloud: Any, after: int, at: list[int]) -> None:
    process = next(iter(client.run(os.getpid).values()))
    give_up = time.monotonic() + 60
    while len(cloud.chats) < after and time.monotonic() < give_up:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    at.append(len(cloud.chats))


def test_all_workers_die_and_others_stand_in(make, cloud, client):
    """Those that begin anew have other addresses, for which nothing waits by itself."""
    cloud.set(ttft=0.02, tokens_per_second=1000)
    killed = threading.Thread(target=_kill_all, args=(client, cloud, 80))
    killed.start()
    found = ask(make(), sums(300), client, max_cost=0.02)
    killed.join(30)
    assert list(found.output) == answers(300)
    assert len(cloud.chats) - 300 <= 8
    assert spent(cloud) <= 0.02


def _kill_all(client: Any, cloud: Any, after: int) -> None:
    processes = list(client.run(os.getpid).values())
    give_up = time.monotonic() + 60
    while len(cloud.chats) < after and time.monotonic() < give_up:
        time.sleep(0.01)
    for process in processes:
        os.kill(process, signal.SIGKILL)


def test_max_cost_holds_over_all_workers_though_one_dies(make, cloud, client):
    cloud.set(ttft=0.01, tokens_per_second=2000)
    at: list[int] = []
    killed = threading.Thread(target=_kill_one, args=(client, cloud, 30, at))
    killed.start()
    found = ask(make(), sums(400), client, max_cost=0.003, concurrency=8)
    killed.join(30)
    done = found.error.isna()
    assert 30 <= at[0] < done.sum() < 400
    assert spent(cloud) <= 0.003
    assert found.error[~done].str.startswith("not asked: max_cost $0.003 would be passed").all()


def test_the_budget_of_the_day_holds_over_all_workers(make, cloud, client):
    router = make(budget={"daily_usd": 0.002, "monthly_usd": None})
    found = ask(router, sums(400), client)
    assert 0 < found.error.isna().sum() < 400
    assert found.error.dropna().str.contains("the daily budget of").all()
    assert spent(cloud) <= 0.002


def test_a_key_that_is_refused_ends_it(make, cloud, client):
    cloud.fail(Fault("status", status=401), times=None)
    with pytest.raises(AuthenticationError, match="requests not asked"):
        ask(make(), sums(500), client)
    assert len(cloud.chats) < 100


def _interrupt_after(cloud: Any, chats: int) -> None:
    give_up = time.monotonic() + 60
    while len(cloud.chats) < chats and time.monotonic() < give_up:
        time.sleep(0.01)
    _thread.interrupt_main()


def test_an_interrupt_stops_the_workers_and_keeps_what_is_finished(make, cloud, client, capsys):
    cloud.set(ttft=0.02, tokens_per_second=1000)
    threading.Thread(target=_interrupt_after, args=(cloud, 100)).start()
    with pytest.raises(KeyboardInterrupt):
        ask(make(), sums(3000), client)
    told = capsys.readouterr().out
    kept = int(told.split("interrupted: ")[1].split(" of")[0])
    assert 0 < kept < 3000
    give_up, before = time.monotonic() + 20, -1
    while len(cloud.chats) != before and time.monotonic() < give_up:  # calls under way end, and no more are made
        before = len(cloud.chats)
        time.sleep(0.5)
    assert kept <= len(cloud.chats) <= kept + 16


def test_a_dask_frame_needs_a_client(make):
    with pytest.raises(TypeError, match="give client="):
        ask(make(), dd.from_pandas(sums(3), npartitions=1), None)


def test_rows_that_fail_are_kept_apart(make, cloud, client):
    cloud.fail(Fault("status", status=400), times=2, match=lambda log: "What is 7" in str(log.body))
    found = ask(make(), sums(100), client)
    assert found.error.notna().sum() == 2
    assert found.error.dropna().str.startswith("InvalidRequestError").all()


def test_what_is_no_client_is_told(make, client):
    with pytest.raises(TypeError, match=r"must be a dask\.distributed Client, not str"):
        ask(make(), sums(3), "tcp://127.0.0.1:8786")
    closed = distributed.Client(client.cluster)
    closed.close()
    with pytest.raises(ValueError, match="the dask client is closed"):
        ask(make(), sums(3), closed)


def test_a_cluster_that_is_closed_ends_it_and_keeps_what_is_finished(make, cloud, tmp_path):
    cloud.set(ttft=0.02, tokens_per_second=1000)
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as own,
    ):
        closing = threading.Thread(target=_close_after, args=(cluster, cloud, 40))
        closing.start()
        router = make()
        with pytest.raises(HybridNbError, match="what is finished is kept"):
            ask(router, sums(2000), own)
        closing.join(30)
    before = len(cloud.chats)
    cloud.set(ttft=0.0, tokens_per_second=float("inf"))
    assert list(ask(router, sums(2000), None).output) == answers(2000)
    assert len(cloud.chats) <= 2000 + 8
    assert before >= 40


def _close_after(cluster: Any, cloud: Any, chats: int) -> None:
    give_up = time.monotonic() + 60
    while len(cloud.chats) < chats and time.monotonic() < give_up:
        time.sleep(0.01)
    cluster.close()


def test_providers_limits_are_shared_out(make):
    router = make(provider={"rpm": 10, "max_concurrency": 5})
    assert processes(router._state.providers.values(), 8, 16) == 5
    shares = carried(router, 5)["provider"][0]
    assert (shares["rpm"], shares["max_concurrency"]) == (2, 1)


class Watched:
    """A client that notes, pickled as dask does, all that is given to it to be sent."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.sent: list[bytes] = []

    def submit(self, *values: Any, **options: Any) -> Any:
        known = [v.key if isinstance(v, distributed.Future) else v for v in values]
        self.sent.append(cloudpickle.dumps((known, options)))
        return self.client.submit(*values, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.mark.parametrize("dask_frame", [False, True])
def test_no_secret_travels(make, cloud, client, dask_frame):
    router, watched = make(), Watched(client)
    assert cloud.base_url.encode() in pickle.dumps(carried(router, 1))  # what should travel does
    ask(router, dd.from_pandas(sums(10), npartitions=2) if dask_frame else sums(10), watched)
    assert len(cloud.chats) == 10
    assert any(b"env:MAP_KEY" in message for message in watched.sent)
    assert all(SECRET.encode() not in message for message in watched.sent)


def test_a_key_in_clear_text_is_refused_and_not_told(make, cloud, client):
    router = make(provider={"api_key": SECRET})
    with pytest.raises(ConfigError, match='write api_key = "env:NAME"') as error:
        ask(router, sums(3), client)
    assert SECRET not in str(error.value)
    assert not cloud.chats


def test_a_ledger_in_memory_is_refused(make, client):
    router = make(ledger={"url": "sqlite:///:memory:"})
    with pytest.raises(ConfigError, match="workers need one that they all reach"):
        ask(router, sums(3), client)
