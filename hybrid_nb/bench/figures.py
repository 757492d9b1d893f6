"""The statistics of a run, as methods of Run. Each needs the extra `benchmark` (scipy), imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.results import Info


class Figures:
    """The part of Run that computes. Run sets what is named here.

    Arguments that mean the same everywhere:
        confidence: of intervals, 0.95 for 95 %.
        failures: what a failed call scores: "wrong" (0, the default) or "missing" (left out).
        seed: of bootstrap and permutations; the same seed gives the same figures.
    """

    calls: pd.DataFrame
    chunks: pd.DataFrame
    scores: pd.DataFrame
    info: Info

    @property
    def measured(self) -> pd.DataFrame:
        """The calls that count: those of the warm-up and those that were not asked are left out."""
        table = self.calls
        return table[(table["phase"] == "measured") & (table["status"] != "skipped")]

    @property
    def models(self) -> list[str]:
        """The models in the order in which they were named."""
        named = self.info.settings.get("models") or self.calls["model"].dropna().unique().tolist()
        return [str(name) for name in named]

    def summary(
        self,
        limits: Mapping[str, float] | None = None,
        confidence: float = 0.95,
        by: str | None = None,
        failures: str = "wrong",
        seed: int = 0,
    ) -> pd.DataFrame:
        """One row a model (by="cluster" or "stage": one a model and group). Unknown is missing, never 0.

        calls (measured ones), ok, failed, error_rate, failover_rate; unknown_cost (calls), cost_usd (of the known),
        cost_per_call_usd with _low and _high, cost_per_1000_usd, cost_per_right_usd (by the first scorer; a graded
        answer counts by its part). For each scorer score_NAME, _low, _high, _n (scored calls, failed ones too under
        failures="wrong"), _unscored (answered, but the scorer could not tell) and _method (hybrid_nb.bench.stats says
        what each is). For ttft_any_s, ttft_answer_s and latency_s of answered calls _p50 and _p95 with _low and
        _high, _p90, _p99; the medians tpot_s_p50, chunk_gap_s_p50, tokens_per_s_p50, queue_s_p50 and
        token_discrepancy_p50. goodput_rps: calls a second that were answered within all `limits`, such as
        {"ttft_any_s": 1.0, "latency_s": 5}, over the run's (or the stage's) window.
        """
        from hybrid_nb.bench.summary import summary

        return summary(self, limits, confidence, by, failures, seed)

    def system(self, limits: Mapping[str, float] | None = None) -> pd.DataFrame:
        """What the whole system did: one row a stage, and one of the run at the end, whose stage is missing.

        stage_rate (requests a second that were offered), calls, ok and error_rate of the stage's own calls, seconds of
        its window, requests_per_s and output_tokens_per_s that came in the window, unknown_tokens (answers without
        a count, which are not in it), mean_in_flight, max_in_flight, and with limits goodput_rps and goodput_share.
        """
        from hybrid_nb.bench.system import system

        return system(self, limits)
