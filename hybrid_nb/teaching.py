"""How a router learns: from runs, from feedback, and what it knows; the strategy "measured" routes by it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hybrid_nb import frames, rows
from hybrid_nb.bench import lessons
from hybrid_nb.core.errors import ModelNotFoundError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.types import Reply, Target
from hybrid_nb.engine.evidence import Known
from hybrid_nb.engine.standing import DAY
from hybrid_nb.learning import FEEDBACK, TAG, Classifier, Learned
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal
from hybrid_nb.state import State

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.results import Run

EVIDENCE_COLUMNS = (
    "target", "cluster", "scorer", "calls", "effective_calls", "scores", "effective_scores", "quality", "quality_low",
    "quality_high", "ttft_p95_low_s", "ttft_p95_high_s", "latency_p95_low_s", "latency_p95_high_s", "failure_rate",
    "cost_usd", "output_tokens_mean", "age_days", "changed",
)  # fmt: skip


class Teaching:
    """The part of Router that learns. Router sets what is named here."""

    _learned: Learned
    _ledger: Ledger
    _state: State
    _wall: Callable[[], float] = staticmethod(time.time)

    def _check_open(self) -> None:
        raise NotImplementedError

    def configure(self, **changes: Any) -> None:
        raise NotImplementedError

    def learn(
        self,
        run: Run | None = None,
        *,
        scorer: str | None = None,
        tag: str | None = None,
        classifier: Classifier | None = None,
        half_life: float | None = None,
    ) -> pd.DataFrame:
        """Learn from a run of benchmark(): times, costs and the scores of one scorer; returns evidence().

        It is kept in the ledger; the same run learned again replaces what it said. Live calls add their times, and
        feedback() scores. `router.configure(strategy="measured")` routes by it.

        Args:
            run: None only sets the classifier.
            scorer: needed where the run has several. Scores must be between 0 and 1.
            tag: the tag of a call that names its cluster (default "task"), as in tags={"task": "maths"}.
            classifier: prompt -> cluster or None, for calls without that tag. It is called for each, so it must be
                quick; it is kept in this process only.
            half_life: days after which evidence counts half; sets [router] half_life.
        Raises OptionValueError and OptionTypeError.
        """
        self._check_open()
        if run is None and classifier is None:
            raise OptionTypeError("learn needs a run, as router.benchmark() returns it")
        if run is not None and not hasattr(run, "calls"):
            raise OptionTypeError(f"learn needs a run, as router.benchmark() returns it, not {type(run).__name__}")
        if classifier is not None and not callable(classifier):
            raise OptionTypeError(f"classifier must be a function of the prompt, not {type(classifier).__name__}")
        if run is not None:
            name, at = lessons.scorer_of(run, scorer), lessons.ended(run, self._wall())
            found = lessons.batches(run, name, self._meant, at)
            portal().run(self._learned.keep(lessons.identity(run), tag or TAG, found, lessons.requests(run)))
        if classifier is not None:
            self._learned.classifier = classifier
        if half_life is not None:
            self.configure(half_life=half_life)
        return self.evidence()

    def _meant(self, model: str) -> Target | None:
        """The one target that a model's name means; None: several, or nobody knows it."""
        try:
            options = self._state.catalogue.named(model)
        except ModelNotFoundError:
            provider, slash, rest = model.partition("/")
            return Target(provider, rest) if slash and rest else None
        return options[0].target if len(options) == 1 else None

    def feedback(self, reply: Reply | str, score: float, scorer: str | None = None) -> None:
        """Say how good an answer was: 0 (bad) to 1 (good), True or False. It counts for its target and its task.

        `reply` may be a request_id of calls(). A later word about the same answer replaces it. `scorer` is by default
        that of the run that was learned last. Raises OptionValueError.
        """
        self._check_open()
        identifier = reply.request_id if isinstance(reply, Reply) else str(reply)
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise OptionValueError(f"feedback: the score must be between 0 and 1, not {score!r}")
        query = "SELECT time, provider, model, tags FROM calls WHERE request_id = ? AND status = 'ok'"
        found = self._ledger.rows(query, (identifier,))
        if not found or found[0][1] is None:
            raise OptionValueError(f"feedback: the ledger has no answered call {identifier!r}")
        at, provider, model, tags = found[0]
        self._learned.evidence()  # by whose scores the last run was learned
        name = scorer or self._learned.scorer or FEEDBACK
        target, labels = Target(provider, model), json.loads(tags) if tags else {}
        portal().run(self._learned.keep_score(identifier, target, labels, at, name, float(score)))
        self._learned.evidence(at_once=True)

    def forget(self, model: str | None = None, before: Any = None) -> int:
        """Forget evidence: of a model ("provider/model"; None: of all), from before a time (as `since` in calls();
        None: all of it). The calls stay in the ledger. Returns how many kept pieces are gone. Raises OptionValueError.
        """
        self._check_open()
        target = None if model is None else self._meant(model)
        if model is not None and target is None:
            raise OptionValueError(f"forget: {model!r} is not one target; name it as provider/model")
        until = self._wall() if before is None else rows.unix(before)
        provider, name = target or (None, None)
        gone: int = portal().run(self._learned.kept.forget(provider, name, until or 0.0))
        self._learned.evidence(at_once=True)
        return gone

    def evidence(self) -> pd.DataFrame:
        """What is known of each target: one row for it, each cluster (missing: all together) and each scorer.

        `effective_` counts are what the samples are worth at their age. Bounds are one-sided at 95 %: the quality is
        certainly not below quality_low, the 95th percentile of a time not above _high. Missing: too few samples to
        say so. inf: it fails more often than the percentile has room for. `changed`: its latest calls contradict those
        before, and count alone.
        """
        self._check_open()
        known = self._learned.evidence(at_once=True)
        with self._learned.lock:
            found = [_row(item) for item in known.rows(self._wall())]
        return frames.records(found, EVIDENCE_COLUMNS)


def _row(item: Known) -> dict[str, Any]:
    m = item.measured
    quality, ttft, latency = m.quality, m.ttft, m.latency
    return {
        "target": str(item.target), "cluster": item.cluster, "scorer": item.scorer, "calls": item.calls,
        "effective_calls": item.effective, "scores": item.scores, "effective_scores": quality and quality.n,
        "quality": quality and quality.mean, "quality_low": quality and quality.low,
        "quality_high": quality and quality.high, "ttft_p95_low_s": ttft and ttft.least,
        "ttft_p95_high_s": ttft and ttft.most, "latency_p95_low_s": latency and latency.least,
        "latency_p95_high_s": latency and latency.most, "failure_rate": m.failed, "cost_usd": m.cost,
        "output_tokens_mean": m.output, "age_days": item.age / DAY,
        "changed": any(part is not None and part.changed for part in (quality, ttft, latency)),
    }  # fmt: skip
