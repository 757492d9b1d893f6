"""The magics that show models, health, costs and settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.notebook.options import COSTS, OptionError, parse, usage
from hybrid_nb.router import Router, check_providers, default_router

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def short_errors() -> Iterator[None]:
    """Wrong options and values as one line."""
    try:
        yield
    except (OptionError, TypeError, ValueError) as error:
        if isinstance(error, HybridNbError):
            raise
        raise UsageError(str(error)) from None


@magics_class
class LookingMagics(Magics):
    """Tables and settings of the default router."""

    @property
    def router(self) -> Router:
        return default_router()

    @no_var_expand
    @line_magic
    def llm_models(self, line: str) -> pd.DataFrame:
        """The models that can be asked: `%llm_models [provider]`."""
        check_providers(self.router)
        table = self.router.models()
        wanted = line.split()
        if not wanted:
            return table
        if wanted[0] not in self.router.provider_names():
            raise UsageError(f"no provider {wanted[0]!r}; there are {', '.join(self.router.provider_names())}")
        return table[table["provider"] == wanted[0]].reset_index(drop=True)

    @no_var_expand
    @line_magic
    def llm_health(self, line: str) -> pd.DataFrame:
        """Every provider, asked now: is it up, how fast, what went wrong last."""
        if line.strip():
            raise UsageError(f"unexpected {line.split(maxsplit=1)[0]!r}: %llm_health takes nothing")
        check_providers(self.router)
        return self.router.health()

    @no_var_expand
    @line_magic
    def llm_costs(self, line: str) -> pd.DataFrame:
        """What was spent: `%llm_costs [--by provider,model,day] [--since DATE]`."""
        with short_errors():
            parsed = parse(line, COSTS)
            if parsed.words:
                raise OptionError(f"unexpected {parsed.words[0]!r}\n{usage('%llm_costs', '', COSTS)}")
            by = [name.strip() for name in parsed.values.get("by", "provider,model").split(",") if name.strip()]
            return self.router.costs(by=by, since=parsed.values.get("since"))

    @no_var_expand
    @line_magic
    def llm_budget(self, line: str) -> pd.DataFrame:
        """What is left of the day's and the month's budget, over all kernels that share the ledger."""
        if line.strip():
            raise UsageError(f"unexpected {line.split(maxsplit=1)[0]!r}: %llm_budget takes nothing")
        return self.router.budget()

    @no_var_expand
    @line_magic
    def llm_config(self, line: str) -> None:
        """Show settings, or change them: `retries=1 strategy=priority`, `nested_asyncio on`, `load FILE`."""
        words = line.split()
        with short_errors():
            if words[:1] == ["nested_asyncio"]:
                return nested_asyncio(words[1:])
            if words[:1] == ["load"] and len(words) == 2:
                from hybrid_nb.router import set_default_router

                set_default_router(Router(words[1]))
            elif words:
                self.router.configure(**dict(_assignment(word) for word in words))
        print(self.router.describe())  # noqa: T201 - a cell's output
        return None


def _assignment(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise OptionError(f"%llm_config takes key=value, not {word!r}")
    return key, value


def nested_asyncio(words: list[str]) -> None:
    """Patch the running loop so that people's own asyncio.run works in cells. Only when asked for."""
    from hybrid_nb.core.late import late

    if words != ["on"]:
        raise OptionError(
            "%llm_config nested_asyncio on (a patched loop cannot be put back; restart the kernel for that)"
        )
    late("nest_asyncio2", "nested").apply()
