"""What a conversation can make use of, and what becomes of it on each wire: the table, and the judgement by it.

`CARRIED` comes through with its meaning. `DROPPED` does not, the call goes on, and the header `x-bawn-dropped` says so:
such a thing only tunes. `REFUSED` ends the call before anything is sent, since the client would take the answer for
something that it is not. `docs/wires.md` shows this table and says how what is carried is carried.
"""

from __future__ import annotations

from enum import StrEnum

from bawn.errors import Fault
from bawn.terms.exchange import WireName


class Fate(StrEnum):
    CARRIED = "carried"
    DROPPED = "dropped"
    REFUSED = "refused"


class Feature(StrEnum):
    """By the name that the header and the error give it."""

    SYSTEM = "system"
    LATER_SYSTEM = "later_system"
    TEXT = "text"
    IMAGE = "image"
    IMAGE_URL = "image_url"
    FILE = "file"
    FILE_URL = "file_url"
    AUDIO = "audio"
    TOOLS = "tools"
    STRICT_TOOLS = "strict_tools"
    FREE_TOOLS = "free_tools"
    TOOL_SETS = "tool_sets"
    TYPED_TOOLS = "typed_tools"
    TOOL_CHOICE = "tool_choice"
    NO_TOOL = "tool_choice_none"
    ONE_BY_ONE = "one_tool_at_a_time"
    TOOL_ERRORS = "tool_errors"
    TOOL_IMAGES = "tool_images"
    THINKING = "thinking"
    EFFORT = "effort"
    MAX_TOKENS = "max_tokens"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    STOP = "stop"
    SEED = "seed"
    PENALTIES = "penalties"
    LOGIT_BIAS = "logit_bias"
    LOGPROBS = "logprobs"
    CHOICES = "several_answers"
    SOUND = "spoken_answer"
    JSON = "json"
    JSON_SCHEMA = "json_schema"
    VERBOSITY = "verbosity"
    CACHE_MARKS = "cache_marks"
    CACHE_KEY = "cache_key"
    USER = "user"
    HINTS = "hints"
    """Metadata, tier of service, prediction and the like, which change nothing of what is answered."""
    KEPT = "kept_objects"
    HOSTED = "hosted_tools"


_C, _D, _R = Fate.CARRIED, Fate.DROPPED, Fate.REFUSED
_ORDER = (WireName.OPENAI, WireName.RESPONSES, WireName.ANTHROPIC, WireName.GEMINI, WireName.CONVERSE)

FATES: dict[Feature, dict[WireName, Fate]] = {
    feature: dict(zip(_ORDER, fates, strict=True))
    for feature, fates in {
        # what                 chat, responses, messages, gemini, converse
        Feature.SYSTEM: (_C, _C, _C, _C, _C),
        Feature.LATER_SYSTEM: (_C, _C, _C, _C, _C),
        Feature.TEXT: (_C, _C, _C, _C, _C),
        Feature.IMAGE: (_C, _C, _C, _C, _C),
        Feature.IMAGE_URL: (_C, _C, _C, _R, _R),
        Feature.FILE: (_C, _C, _C, _C, _C),
        Feature.FILE_URL: (_R, _C, _C, _R, _R),
        Feature.AUDIO: (_C, _R, _R, _C, _R),
        Feature.TOOLS: (_C, _C, _C, _C, _C),
        Feature.STRICT_TOOLS: (_C, _C, _D, _D, _D),
        Feature.FREE_TOOLS: (_C, _C, _C, _C, _C),
        Feature.TOOL_SETS: (_C, _C, _C, _C, _C),
        Feature.TYPED_TOOLS: (_R, _R, _R, _R, _R),
        Feature.TOOL_CHOICE: (_C, _C, _C, _C, _C),
        Feature.NO_TOOL: (_C, _C, _C, _C, _R),
        Feature.ONE_BY_ONE: (_C, _C, _C, _D, _D),
        Feature.TOOL_ERRORS: (_C, _C, _C, _C, _C),
        Feature.TOOL_IMAGES: (_C, _C, _C, _C, _C),
        Feature.THINKING: (_D, _C, _C, _C, _C),
        Feature.EFFORT: (_C, _C, _C, _C, _D),
        Feature.MAX_TOKENS: (_C, _C, _C, _C, _C),
        Feature.TEMPERATURE: (_C, _C, _C, _C, _C),
        Feature.TOP_P: (_C, _C, _C, _C, _C),
        Feature.TOP_K: (_D, _D, _C, _C, _D),
        Feature.STOP: (_C, _R, _C, _C, _C),
        Feature.SEED: (_C, _D, _D, _C, _D),
        Feature.PENALTIES: (_C, _D, _D, _C, _D),
        Feature.LOGIT_BIAS: (_R, _R, _R, _R, _R),
        Feature.LOGPROBS: (_R, _R, _R, _R, _R),
        Feature.CHOICES: (_R, _R, _R, _R, _R),
        Feature.SOUND: (_R, _R, _R, _R, _R),
        Feature.JSON: (_C, _C, _R, _C, _R),
        Feature.JSON_SCHEMA: (_C, _C, _C, _C, _R),
        Feature.VERBOSITY: (_C, _C, _D, _D, _D),
        Feature.CACHE_MARKS: (_D, _D, _C, _D, _C),
        Feature.CACHE_KEY: (_C, _C, _D, _D, _D),
        Feature.USER: (_C, _C, _C, _D, _D),
        Feature.HINTS: (_D, _D, _D, _D, _D),
        Feature.KEPT: (_R, _R, _R, _R, _R),
        Feature.HOSTED: (_R, _R, _R, _R, _R),
    }.items()
}

SAYABLE: dict[WireName, frozenset[Feature]] = {
    WireName.OPENAI: frozenset(Feature)
    - {Feature.FILE_URL, Feature.TOP_K, Feature.CACHE_MARKS, Feature.TOOL_ERRORS, Feature.TOOL_IMAGES,
       Feature.THINKING, Feature.TOOL_SETS, Feature.TYPED_TOOLS},
    WireName.RESPONSES: frozenset(Feature)
    - {Feature.AUDIO, Feature.STOP, Feature.SEED, Feature.PENALTIES, Feature.LOGIT_BIAS, Feature.CHOICES, Feature.TOP_K,
       Feature.CACHE_MARKS, Feature.TOOL_ERRORS, Feature.SOUND},
    WireName.ANTHROPIC: frozenset(Feature)
    - {Feature.AUDIO, Feature.SEED, Feature.PENALTIES, Feature.LOGIT_BIAS, Feature.LOGPROBS, Feature.CHOICES,
       Feature.JSON, Feature.VERBOSITY, Feature.CACHE_KEY, Feature.FREE_TOOLS, Feature.TOOL_SETS, Feature.SOUND},
    WireName.GEMINI: frozenset(Feature)
    - {Feature.LATER_SYSTEM, Feature.IMAGE_URL, Feature.FILE_URL, Feature.STRICT_TOOLS, Feature.FREE_TOOLS,
       Feature.TOOL_SETS, Feature.TYPED_TOOLS, Feature.ONE_BY_ONE, Feature.LOGIT_BIAS, Feature.VERBOSITY,
       Feature.CACHE_MARKS, Feature.CACHE_KEY, Feature.USER},
}  # fmt: skip
"""What the client of a wire can make use of at all: the rows of its half of the table."""


TUNING = frozenset((
    Feature.EFFORT, Feature.TEMPERATURE, Feature.TOP_P, Feature.TOP_K, Feature.SEED, Feature.PENALTIES, Feature.VERBOSITY,
    Feature.CACHE_KEY, Feature.USER, Feature.ONE_BY_ONE,
))  # fmt: skip
"""What is dropped where a provider or a model lacks it although its wire has a word for it; anything else is refused."""


def judged(says: frozenset[Feature], target: WireName, lacks: frozenset[Feature] = frozenset()) -> tuple[Feature, ...]:
    """What will be dropped. Fault `request.not_translatable` when something may not be."""
    fates = {feature: FATES[feature][target] for feature in Feature if feature in says}
    for feature in lacks & fates.keys():
        if fates[feature] is Fate.CARRIED:
            fates[feature] = Fate.DROPPED if feature in TUNING else Fate.REFUSED
    refused = [feature for feature, fate in fates.items() if fate is Fate.REFUSED]
    if refused:
        named = ", ".join(feature.value for feature in refused)
        raise Fault(
            "request.not_translatable",
            f"The provider of this model speaks another wire ({target.value}), which cannot be told this: {named}.",
        )
    return tuple(feature for feature, fate in fates.items() if fate is Fate.DROPPED)
