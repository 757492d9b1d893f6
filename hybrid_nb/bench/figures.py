"""The statistics of a run, as methods of Run. Each needs the extra `benchmark` (scipy), imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.results import Info
    from hybrid_nb.bench.statistics.tables import Summary


class Figures:
    """The part of Run that computes. Run sets what is named here.

    Arguments that mean the same everywhere:
        confidence: of intervals, 0.95 for 95 %.
        limits: what a good call keeps, such as {"ttft_any_s": 1.0, "latency_s": 5} (seconds at most; tokens_per_s at
            least), all of them; the run's own, where it was made with some.
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
        cost_per_call_usd with _low and _high and cost_per_1000_usd, of calls that were answered or cost something (one
        that failed for nothing does not make the others cheaper), cost_per_right_usd (by the first scorer; a graded
        answer counts by its part). For each scorer score_NAME, _low, _high, _n (scored calls, failed ones too under
        failures="wrong"), _unscored (answered, but the scorer could not tell) and _method (what each is, is told by
        hybrid_nb.bench.statistics.intervals). For ttft_any_s, ttft_answer_s and latency_s of answered calls _p50 and
        _p95 with _low and _high, _p90, _p99; the medians tpot_s_p50, chunk_gap_s_p50, tokens_per_s_p50, queue_s_p50 and
        token_discrepancy_p50. goodput_rps: calls a second that were answered within all `limits`, such as
        {"ttft_any_s": 1.0, "latency_s": 5}, over the run's (or the stage's) window.
        """
        from hybrid_nb.bench.statistics.summary import summary

        return summary(self, limits, confidence, by, failures, seed)

    def system(self, limits: Mapping[str, float] | None = None) -> pd.DataFrame:
        """What the whole system did: one row a stage, and one of the run at the end, whose stage is missing.

        stage_rate (requests a second that were offered), calls, ok and error_rate of the stage's own calls, seconds of
        its window, requests_per_s and output_tokens_per_s that came in the window, unknown_tokens (answers without
        a count, which are not in it), mean_in_flight, max_in_flight, and with limits goodput_rps and goodput_share.
        """
        from hybrid_nb.bench.statistics.system import system

        return system(self, limits)

    def paired(
        self, scorer: str | None = None, confidence: float = 0.95, failures: str = "wrong", seed: int = 0
    ) -> pd.DataFrame:
        """Every pair of models on the same samples, one row a pair: by a scorer (the first, if none is named), or by
        cost_usd, latency_s, ttft_any_s or another measure.

        Samples are matched by id, their epochs averaged first. n (samples that both have), unmatched, n_discordant
        (on which they differ), mean_a, mean_b, difference (a - b) with low and high (of this pair by itself,
        so that with several pairs they may leave out 0 where the verdict is "tied"), p, p_holm
        (adjusted for all pairs), method, verdict ("a/m better", "b/m better", "tied" when p_holm > 1 - confidence,
        "too few samples") and explanation, a sentence. "Tied" is not "equal": power() says what could have been seen.

        0/1 scores: exact McNemar test, interval by Bonett and Price. Else: permutation test by changing signs (exact
        up to 12 samples that differ), interval by bootstrap-t (5 to 499 samples) or t.
        """
        from hybrid_nb.bench.statistics.pairs import paired

        return paired(self, scorer, confidence, failures, seed)

    def power(
        self,
        scorer: str | None = None,
        difference: float | None = None,
        power: float = 0.8,
        confidence: float = 0.95,
        failures: str = "wrong",
    ) -> pd.DataFrame:
        """What difference a run of this size could have seen. One row a pair of models, by a scorer or measure.

        detectable: the least difference that is seen with chance `power`, by the observed spread of the samples'
        differences; n_needed: samples that `difference` needs (0.05: five points). alpha is (1 - confidence) over the
        number of pairs, the strictest step of Holm. 0/1 scores: the exact power of McNemar's test; else of the t test.
        """
        from hybrid_nb.bench.statistics.power import power as power_

        return power_(self, scorer, difference, power, confidence, failures)

    def certify(
        self,
        measure: str = "latency_s",
        percentile: float = 0.95,
        at_most: float | None = None,
        confidence: float = 0.99,
    ) -> pd.DataFrame:
        """Whether a percentile of a time or cost is certain to be low. One row a model.

        With at_most: verdict "certified" (the percentile is at most that, at this confidence), "not met" (it is over
        it, at this confidence) or "insufficient data", with `more` calls that are needed at the rate seen. Without:
        `bound`, the least bound that is certified; at least one call must lie over it, so that it does not hang on the
        slowest call alone (so MLPerf: at 99 % p90 needs 64 calls and p99 662; a given limit, 44 and 459).

        Failed calls, and answers whose time is unknown, lie over every bound. Exact (binomial), whatever the
        distribution, for calls that do not depend on each other.
        """
        from hybrid_nb.bench.statistics.certify import certify

        return certify(self, measure, percentile, at_most, confidence)

    def pass_at(
        self,
        k: int,
        scorer: str | None = None,
        right: float = 1.0,
        confidence: float = 0.95,
        failures: str = "wrong",
        seed: int = 0,
    ) -> pd.DataFrame:
        """One row a model: pass_at_k, the chance that one of k answers to a sample is right, and pass_all_k (pass^k),
        that all k are, both unbiased, with intervals over samples. An answer is right from a score of `right` on.

        samples: that are in it; too_few: those with fewer than k scored epochs, which are not.
        """
        from hybrid_nb.bench.statistics.epochs import pass_at

        return pass_at(self, k, scorer, right, confidence, failures, seed)

    def reduced(self, reducer: str = "mean", scorer: str | None = None, failures: str = "wrong") -> pd.DataFrame:
        """One row a model and sample, its epochs made one value: model, id, cluster, n (scored epochs), value.

        reducer: "mean", "median", "mode" (of several the least) or "at_least_K" (1 when K epochs are right; missing
        where fewer than K are scored).
        """
        from hybrid_nb.bench.statistics.epochs import reduced

        return reduced(self, reducer, scorer, failures)

    def pareto(
        self, scorer: str | None = None, confidence: float = 0.95, failures: str = "wrong", seed: int = 0
    ) -> pd.DataFrame:
        """Cost against quality, one row a model, the cheapest first: cost_per_call_usd and score with _low and _high,
        `front` (no other is cheaper and as good, or better and as cheap) and why. A model whose cost or score is
        unknown has no place: its `front` is missing, and the explanation says so.
        """
        from hybrid_nb.bench.statistics.tradeoff import pareto

        return pareto(self, scorer, confidence, failures, seed)

    def aiq(self, scorer: str | None = None, failures: str = "wrong") -> float | None:
        """Average improvement in quality (RouterBench): area under the non-decreasing hull of cost and quality, over
        the highest cost. None: fewer than two models of known cost.
        """
        from hybrid_nb.bench.statistics.tradeoff import aiq

        return aiq(self, scorer, failures)

    def report(
        self,
        limits: Mapping[str, float] | None = None,
        confidence: float = 0.95,
        failures: str = "wrong",
        seed: int = 0,
    ) -> Summary:
        """The summary for people, with sentences below it: who is tied, whether the times are to be trusted, what is
        missing. Printed it fits 100 columns; a cell shows it as HTML; `.to_markdown()`, `.to_html()`, `.frame`.
        """
        from hybrid_nb.bench.statistics.tables import report

        return report(self, limits, confidence, failures, seed)

    def _repr_html_(self) -> str | None:
        return None if self.measured.empty or not _installed() else self.report().to_html()

    def _repr_markdown_(self) -> str | None:
        return None if self.measured.empty or not _installed() else self.report().to_markdown()


def _installed() -> bool:
    """Without scipy a cell shows the one line of repr(); summary() says what to install."""
    return find_spec("scipy") is not None
