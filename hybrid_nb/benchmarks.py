"""What a router does with a set of samples: ask every model all of them, and measure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from hybrid_nb.bench.results import Run
    from hybrid_nb.bench.traffic.job import Job
    from hybrid_nb.router import Router


class Benchmarks:
    """The part of Router that measures models."""

    @property
    def _whole(self) -> Router:
        return cast("Router", self)

    def benchmark(
        self,
        data: Any,
        models: Sequence[str] | str,
        scorers: Any = (),
        *,
        epochs: int = 1,
        concurrency: int | None = None,
        rate: float | Sequence[float] | None = None,
        warmup: int = 0,
        arrivals: str | Sequence[float] = "poisson",
        duration: float | None = None,
        prompt: str | None = None,
        timeout: float | None = None,
        max_cost: Any = None,
        unique: bool = False,
        seed: int = 0,
        save: str | os.PathLike[str] | None = None,
        resume: bool = True,
        progress: Any = True,
        limits: Mapping[str, float] | None = None,
        allow_code: bool = False,
        **options: Any,
    ) -> Run:
        """Ask every model every sample, measure each call, and score the answers. Blocks, and can be interrupted.

        Args:
            data: a DataFrame, a list of strings or dicts, a dict of columns, a Dataset, or the path of a .jsonl, .csv
                or .parquet file. Columns: `input` (a prompt or a list of messages), `target` (what is right), `id`
                (default: the row's number), `cluster` (what belongs together, for intervals); others are kept.
            models: names as for chat(): "provider/model", a model's name or a group.
            scorers: names ("exact", "includes" ...), hybrid_nb.scorers, or functions of (output, target).
            epochs: how often each sample is asked.
            concurrency: calls under way at once, over all models (default 4). With `rate`: a cap; default none.
            rate: calls begun a second, over all models, whatever became of those before: an open loop. Several make a
                sweep, one stage each, over which the calls are spread.
            warmup: so many calls more before the others, whose slots pass over without a pause. They do not count.
            arrivals: of the open loop: "poisson", "constant", "ramp" (with rate=(from, to)), or a list of seconds from
                the start, at which calls are begun.
            duration: seconds for which calls are begun (of each rate of a sweep), the data being asked again and again.
            prompt: makes each input from columns: "Translate: {text}".
            timeout: seconds for one call with its retries, a judge's too; default: the router's.
            max_cost: dollars for the whole run, judges included. Calls that might pass it are not asked, and no call is
                hedged; without max_tokens answers are cut at 8,192 tokens, so that there is a bound.
            unique: begin each prompt with letters of its own, so that no provider's cache helps.
            seed: of the order of calls, and of arrivals.
            save: a folder, into which each call is written as it ends, and the run at the end.
            resume: go on with the run in `save`: what it has answers to is not asked again. False: begin anew; the
                earlier journal is kept beside the new one.
            progress: a line with the calls, failures, dollars and time left; or a function of a Progress.
            limits: seconds that a good call keeps, such as {"ttft_any_s": 1, "latency_s": 5}, for goodput.
            allow_code: let a scorer run code that models wrote.
            options: of every call, as for chat(). `cache` is off unless asked for.

        Returns:
            The Run. One that ended early says why in run.info.stopped: "interrupt" (what is finished is kept), or
            "budget" (its own max_cost, or the router's budget). A call that failed is a row with its error.

        Raises:
            OptionValueError, OptionTypeError: what is wrong with data, models, scorers or settings; ConfigError: with
            `save`. All before anything is spent.

        >>> run = router.benchmark([{"input": "2+2?", "target": "4"}], ["a/m", "b/n"], ["includes"])  # doctest: +SKIP
        """
        from hybrid_nb import benchmarking

        return benchmarking.run(
            self._whole, data, models, scorers, progress, epochs=epochs, concurrency=concurrency, rate=rate,
            warmup=warmup, arrivals=arrivals, duration=duration, prompt=prompt, timeout=timeout, max_cost=max_cost,
            unique=unique, seed=seed, save=save, resume=resume, limits=limits, allow_code=allow_code, **options,
        )  # fmt: skip

    def start_benchmark(self, data: Any, models: Sequence[str] | str, scorers: Any = (), **settings: Any) -> Job:
        """benchmark() in the background: returns at once a Job with .progress, .stop(), .done and .result().

        Settings and errors are those of benchmark(); `progress` is left to the Job.
        """
        from hybrid_nb import benchmarking

        settings.pop("progress", None)
        return benchmarking.start(self._whole, data, models, scorers, **settings)
