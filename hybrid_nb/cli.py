"""The command line: `hybrid-nb demo`, `test`, `models`, `health`, `costs`, `budget`, `load`, `sim`."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from hybrid_nb import __version__
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError


class Friendly(click.Group):
    """Errors of ours as one line, not as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HybridNbError as error:
            raise click.ClickException(f"{type(error).__name__}: {error}") from None
        except ImportError as error:
            if "hybrid-nb[" not in str(error):
                raise
            raise click.ClickException(str(error)) from None


@click.group(cls=Friendly)
@click.version_option(__version__, prog_name="hybrid-nb")
def main() -> None:
    """LLM calls over local, LAN and cloud providers, each with its latency, cost and route."""


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Configuration file (default: HYBRID_NB_CONFIG, ./hybrid_nb.toml, the user's, then the environment)."
    return click.option("--config", type=click.Path(dir_okay=False), help=text)(command)


def show(frame: Any, columns: list[str] | None = None) -> None:
    """A DataFrame as text, whole."""
    table = frame if columns is None else frame[columns]
    click.echo(table.to_string(index=False, na_rep="-") if len(table) else "nothing yet")


@main.command()
@click.option("--headless", is_flag=True, help="End after the comparison.")
@click.option("--no-browser", is_flag=True, help="Print JupyterLab's address instead of opening it.")
def demo(headless: bool, no_browser: bool) -> None:
    """One prompt to four simulated vendors, then JupyterLab on the quickstart. Needs no keys and no network."""
    from hybrid_nb import demo as parts

    with parts.workplace() as (folder, config):
        click.echo(parts.report(parts.compare(config)))
        if headless:
            return
        click.echo("\nstarting JupyterLab with the simulated vendors up ...")
        with interruptible():
            try:
                lab, address = parts.start_lab(folder, config)
            except RuntimeError as error:
                raise click.ClickException(str(error)) from None
            try:
                click.echo(f"JupyterLab: {address}\nCtrl-C ends it.")
                if not no_browser:
                    click.launch(address)
                lab.wait()
            finally:
                lab.terminate()
                with contextlib.suppress(KeyboardInterrupt):
                    lab.wait(timeout=15)


@contextlib.contextmanager
def interruptible() -> Any:
    """Ctrl-C and SIGTERM end the block quietly, with its clean-up."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nended")
    finally:
        signal.signal(signal.SIGTERM, before)


@main.command()
@config_option
@click.option("--provider", help="Only this provider.")
@click.option("--model", help="With --provider: this model instead of its first.")
def test(config: str | None, provider: str | None, model: str | None) -> None:
    """Test the connection, key and a model of every provider. Sends each a prompt of a few tokens."""
    from hybrid_nb.router import Router, check_providers

    if model and not provider:
        raise click.UsageError("--model needs --provider")
    with Router(config) as router:
        check_providers(router)
        failed = 0
        for name in [provider] if provider else router.provider_names():
            steps = router.test_provider(name, model)
            click.echo(name)
            for step in steps.to_dict("records"):
                click.echo(f"  {'ok  ' if step['ok'] else 'FAIL'} {step['step']}: {step['detail']}")
            failed += not bool(steps["ok"].all())
    sys.exit(1 if failed else 0)


@main.command()
@config_option
def models(config: str | None) -> None:
    """The models that can be asked, in the order of preference."""
    from hybrid_nb.router import Router, check_providers

    with Router(config) as router:
        check_providers(router)
        table = router.models()
        if table.empty:
            raise click.ClickException("no provider told its models; `hybrid-nb health` tells who is up")
        show(
            table,
            ["provider", "model", "tier", "context", "input_usd_per_mtok", "output_usd_per_mtok", "available"],
        )


@main.command()
@config_option
def health(config: str | None) -> None:
    """Ask every provider how it is. Costs nothing."""
    from hybrid_nb.router import Router, check_providers

    with Router(config) as router:
        check_providers(router)
        show(router.health(), ["provider", "tier", "status", "endpoints", "latency_s", "last_error"])


@main.command()
@config_option
@click.option("--by", default="provider,model,day", show_default=True, help="Columns to group by, with commas.")
@click.option("--since", help="A date such as 2026-11-01.")
def costs(config: str | None, by: str, since: str | None) -> None:
    """What was spent, by provider, model and day (UTC)."""
    from hybrid_nb.router import Router

    with Router(config) as router:
        try:
            show(router.costs([name.strip() for name in by.split(",") if name.strip()], since))
        except ValueError as error:
            raise click.ClickException(str(error)) from None


@main.command()
@config_option
def budget(config: str | None) -> None:
    """What is left of the day's and the month's budget (UTC), over all processes that share the ledger."""
    from hybrid_nb.router import Router

    with Router(config) as router:
        table = router.budget()
    unpriced = table["unpriced_models"].dropna()
    show(table.drop(columns=["unpriced_calls", "unpriced_models"]))
    if len(unpriced):
        click.echo(f"no price is known for {unpriced.iloc[-1]}: what it cost is not in these sums")


@main.command()
@config_option
@click.argument("data", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--prompt", help="Without DATA: this prompt; with it: made from its columns, 'Translate: {text}'.")
@click.option("--model", "models", multiple=True, required=True, help="provider/model or a group; may be repeated.")
@click.option("--requests", type=int, help="How many prompts (default: 20 of --prompt, or all of DATA).")
@click.option("--concurrency", type=int, help="Calls at once (default 4); with --rate a cap.")
@click.option("--rate", type=float, multiple=True, help="Calls a second whatever answers take; repeated: a sweep.")
@click.option("--arrivals", default="poisson", show_default=True, help="With --rate: poisson, constant or ramp.")
@click.option("--duration", type=float, help="Seconds for which calls are begun (each rate of a sweep).")
@click.option("--warmup", default=0, help="Calls more at the beginning, which do not count.")
@click.option("--max-tokens", type=int, help="Tokens of an answer at most.")
@click.option("--max-cost", help="Dollars at most, for all.")
@click.option("--timeout", type=float, help="Seconds for a call.")
@click.option("--unique", is_flag=True, help="Begin each prompt with letters of its own, so that no cache helps.")
@click.option(
    "--save", type=click.Path(file_okay=False), help="A folder for the run; the same command goes on with it."
)
@click.option("--limit", "limits", multiple=True, help="latency_s=5 or ttft_any_s=1: what a good call keeps.")
@click.option("--seed", default=0, show_default=True, help="Of the order, and of arrivals.")
def load(
    config: str | None, data: str | None, prompt: str | None, models: tuple[str, ...], requests: int | None,
    rate: tuple[float, ...], limits: tuple[str, ...], **settings: Any,
) -> None:  # fmt: skip
    """Put load on models and print their latency, failures and cost.

    Prompts are of DATA (.jsonl, .csv or .parquet with a column "input"), or one --prompt again and again.
    """
    from hybrid_nb.bench.traffic.data import items_of
    from hybrid_nb.router import Router, check_providers

    if data is None and prompt is None:
        raise click.UsageError("name a DATA file, or give a --prompt")
    kept = dict(_limit(text) for text in limits)
    given = {"rate": (rate if len(rate) > 1 else rate[0]) if rate else None, "limits": kept, **settings}
    try:
        samples: Any = [prompt] * (requests or 20) if data is None else items_of(data, prompt)[:requests]
        with Router(config) as router:
            check_providers(router)
            run = router.benchmark(samples, models, **{k: v for k, v in given.items() if v is not None})
    except (OptionValueError, OptionTypeError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(str(run.report(kept or None)))
    failed = run.measured[run.measured["status"] != "ok"]
    told = Counter(f"{name}: {error}" for name, error in zip(failed["model"], failed["error"], strict=True))
    for text, count in told.most_common(5):
        click.echo(f"{count} x {text}")
    for reason in run.info.invalid:
        click.echo(f"its times are not to be trusted: {reason}")
    sys.exit(0 if len(failed) < len(run.measured) else 1)


def _limit(text: str) -> tuple[str, float]:
    name, sign, seconds = text.partition("=")
    try:
        return name, float(seconds if sign else "")
    except ValueError:
        raise click.UsageError(f"--limit is written NAME=SECONDS, such as latency_s=5, and not {text!r}") from None


@main.command()
@click.option("--seed", default=0, show_default=True, help="Which answers are wrong.")
def sim(seed: int) -> None:
    """Run the simulated vendors until Ctrl-C; prints their configuration as TOML."""
    from hybrid_nb.sim import Fleet, serve_forever

    serve_forever(Fleet(seed=seed), lambda fleet: click.echo(fleet.toml()))


if __name__ == "__main__":
    main()
