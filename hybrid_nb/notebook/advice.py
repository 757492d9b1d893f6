"""What to do about each kind of error: one row an error, in the words of a cell and of a chat. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """`cell` names magics, `chat` what is on the screen there."""

    cell: str
    chat: str


ADVICE = {
    "AuthenticationError": Advice(
        "check the key: router.providers() shows where each comes from",
        "Check the key: hnb.ProviderManager() or router.providers() shows where it comes from.",
    ),
    "PermissionDeniedError": Advice(
        "this key may not use that model; name another one (%llm_models)",
        "This key may not use that model; choose another one above.",
    ),
    "RateLimitError": Advice(
        "wait as long as it says, or name another model; a group moves on by itself",
        "Wait as long as it says, or choose another model above.",
    ),
    "QuotaExceededError": Advice(
        "the account has no credit left; another provider may do",
        "The account has no credit left; choose another provider above.",
    ),
    "ServiceUnavailableError": Advice(
        "run the cell again in a moment, or name another model; %llm_health shows who is up",
        "Try again in a moment, or choose another model above.",
    ),
    "ProviderTimeoutError": Advice(
        "wait longer (%llm_config ttft_timeout=60), or ask another model",
        "Try again, wait longer (router.configure(ttft_timeout=60)), or choose another model.",
    ),
    "ConnectionFailedError": Advice(
        "is the server up? %llm_health asks every provider",
        "Is the server up? router.health() asks every provider.",
    ),
    "ContextLengthError": Advice(
        "shorten the prompt, or ask a model with a larger context (%llm_models)",
        "Clear the conversation, shorten the message, or choose a model with a larger context.",
    ),
    "ContentFilterError": Advice(
        "put the prompt in other words, or name another model",
        "Put the message in other words (Edit), or choose another model above.",
    ),
    "ModelNotFoundError": Advice(
        "%llm_models lists what can be asked", "Choose a model above; router.models() lists what can be asked."
    ),
    "UnsupportedFeatureError": Advice(
        "name a model that takes what is asked (%llm_models has columns for tools, vision and json_schema)",
        "Choose a model above that takes what is attached.",
    ),
    "InvalidRequestError": Advice(
        "change the prompt or its options; the same again changes nothing",
        "Edit the message; sending the same again changes nothing.",
    ),
    "StreamInterruptedError": Advice(
        "what came is in _llm_partial; run the cell again for the rest",
        "What came is kept. Retry asks for the whole answer again.",
    ),
    "NoProviderAvailableError": Advice(
        "%llm_health shows who is up; hnb.ProviderManager() adds providers",
        "router.health() shows who is up; hnb.ProviderManager() adds providers.",
    ),
    "BudgetExceededError": Advice(
        "%llm_budget shows what is left; name a local model, raise the budget, or wait until it resets",
        "Raise the budget in hnb.ProviderManager() or the settings, or wait until it resets.",
    ),
    "ReplayMissError": Advice(
        "run the cell with --cache record where the keys are, or take back what changed",
        "Record it first: HYBRID_NB_CACHE=record where the keys are.",
    ),
    "ConfigError": Advice("the message names the key and its remedy", "The message names the remedy."),
}
OTHER = Advice("run the cell again; %llm_health shows who is up", "Try again, or choose another model above.")


def advice(error: BaseException) -> Advice:
    """The row of an error's class, or of the nearest above it."""
    return next((ADVICE[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in ADVICE), OTHER)
