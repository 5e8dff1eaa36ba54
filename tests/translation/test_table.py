"""The table row by row: what it says of a feature on the way from one wire to another is what happens to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.translation.examples import EXAMPLES, SCHEMA
from tests.translation.wires import CLIENTS, READ, TARGETS, written

from bawn.errors import Fault
from bawn.terms.exchange import WireName
from bawn.translation.features import FATES, SAYABLE, Fate, Feature, judged
from bawn.translation.neutral import Conversation, File, Image, Text, Thinking, ToolResult, ToolUse

F = Feature
PAIRS = [(client, target) for client in CLIENTS for target in TARGETS if client is not target]
ROWS = [(client, target, feature) for client, target in PAIRS for feature in Feature if feature in SAYABLE[client]]


def _parts(kind: Any) -> Callable[[Conversation], list[Any]]:
    return lambda said: [part for turn in said.turns for part in turn.parts if isinstance(part, kind)]


def _results(said: Conversation) -> list[ToolResult]:
    found: list[ToolResult] = _parts(ToolResult)(said)
    return found


def _texts(said: Conversation) -> list[str]:
    return [part.text for part in _parts(Text)(said)]


def _same_text(said: Conversation) -> str:
    return "".join(_texts(said)).replace("[the tool failed]\n", "")


KEPT: dict[Feature, Callable[[Conversation], Any]] = {
    F.SYSTEM: lambda said: [text.text for text in said.system],
    F.LATER_SYSTEM: lambda said: [text.text for text in said.system],
    F.TEXT: _same_text,
    F.IMAGE: lambda said: [(part.media_type, part.data) for part in _parts(Image)(said)],
    F.IMAGE_URL: lambda said: [part.url for part in _parts(Image)(said)],
    F.FILE: lambda said: [(part.media_type, part.data) for part in _parts(File)(said)],
    F.FILE_URL: lambda said: [part.url for part in _parts(File)(said)],
    F.AUDIO: lambda said: [(part.media_type, part.data) for part in _parts(File)(said)],
    F.TOOLS: lambda said: (
        [(tool.name, tool.description, tool.schema) for tool in said.tools],
        [(use.id, use.name, json.loads(use.arguments)) for use in _parts(ToolUse)(said)],
        [(each.id, each.name, [part.text for part in each.parts if isinstance(part, Text)]) for each in _results(said)],
    ),
    F.STRICT_TOOLS: lambda said: [tool.strict for tool in said.tools],
    F.FREE_TOOLS: lambda said: [(tool.name, tool.schema) for tool in said.tools],
    F.TOOL_SETS: lambda said: [tool.name for tool in said.tools],
    F.TOOL_CHOICE: lambda said: (said.choice, said.chosen),
    F.NO_TOOL: lambda said: said.choice,
    F.ONE_BY_ONE: lambda said: said.parallel,
    F.TOOL_IMAGES: lambda said: [
        part.data
        for turn in said.turns
        for holder in (turn.parts, *(each.parts for each in turn.parts if isinstance(each, ToolResult)))
        for part in holder
        if isinstance(part, Image)
    ],
    F.EFFORT: lambda said: said.effort,
    F.MAX_TOKENS: lambda said: said.most,
    F.TEMPERATURE: lambda said: said.temperature,
    F.TOP_P: lambda said: said.top_p,
    F.TOP_K: lambda said: said.top_k,
    F.STOP: lambda said: said.stop,
    F.SEED: lambda said: said.seed,
    F.PENALTIES: lambda said: (said.frequency_penalty, said.presence_penalty),
    F.JSON: lambda said: said.form is not None and said.form.schema is None,
    F.JSON_SCHEMA: lambda said: said.form.schema if said.form is not None else None,
    F.VERBOSITY: lambda said: said.verbosity,
    F.CACHE_MARKS: lambda said: [part.mark for part in _parts(Text)(said)],
    F.CACHE_KEY: lambda said: said.cache_key,
    F.USER: lambda said: said.user,
}
"""What of a conversation is the feature: the same before and after."""

ON_CONVERSE: dict[Feature, Callable[[dict[str, Any]], Any]] = {
    F.SYSTEM: lambda body: body["system"] == [{"text": "be kind"}],
    F.LATER_SYSTEM: lambda body: body["system"] == [{"text": "be kind"}],
    F.TEXT: lambda body: [block["text"] for block in body["messages"][0]["content"]] == ["look", "twice"],
    F.IMAGE: lambda body: body["messages"][0]["content"][1]["image"]["format"] == "png",
    F.FILE: lambda body: body["messages"][0]["content"][1]["document"]["format"] == "pdf",
    F.TOOLS: lambda body: (
        body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == SCHEMA
        and body["messages"][1]["content"][0]["toolUse"]["input"] == {"path": "a"}
        and body["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "a file"}]
    ),
    F.FREE_TOOLS: lambda body: body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "patch",
    F.TOOL_SETS: lambda body: body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "set__look",
    F.TOOL_CHOICE: lambda body: body["toolConfig"]["toolChoice"] == {"tool": {"name": "look"}},
    F.TOOL_ERRORS: lambda body: body["messages"][2]["content"][0]["toolResult"]["status"] == "error",
    F.TOOL_IMAGES: lambda body: "image" in body["messages"][2]["content"][0]["toolResult"]["content"][1],
    F.MAX_TOKENS: lambda body: body["inferenceConfig"]["maxTokens"] in (50, 77),
    F.TEMPERATURE: lambda body: body["inferenceConfig"]["temperature"] == 0.5,
    F.TOP_P: lambda body: body["inferenceConfig"]["topP"] == 0.5,
    F.STOP: lambda body: body["inferenceConfig"]["stopSequences"] == ["END", "STOP"],
    F.CACHE_MARKS: lambda body: {"cachePoint": {"type": "default"}} in body["messages"][0]["content"],
}


def test_there_is_an_example_of_everything_that_can_be_said() -> None:
    for client in CLIENTS:
        assert set(EXAMPLES[client]) == SAYABLE[client] | {F.TEXT}
        for feature, example in EXAMPLES[client].items():
            assert feature in {*READ[client](example).says, F.TEXT}, (client, feature)


@pytest.mark.parametrize(("client", "target", "feature"), ROWS)
def test_what_the_table_says_of_a_feature_is_what_happens(client: WireName, target: WireName, feature: Feature) -> None:
    said = READ[client](EXAMPLES[client][feature])
    fate = FATES[feature][target]
    if fate is Fate.REFUSED:
        with pytest.raises(Fault, match=feature.value) as refused:
            judged(said.says, target)
        assert refused.value.code == "request.not_translatable"
        return
    assert (feature in judged(said.says, target)) is (fate is Fate.DROPPED)
    body = written(target, said)
    if fate is Fate.DROPPED:
        return
    if feature is F.THINKING:
        # A proof is worth something to who gave it only: see the tests of what is kept.
        assert "c2lnbmVk" not in json.dumps(body)
        assert "c2VhbGVk" not in json.dumps(body)
    elif target is WireName.CONVERSE:
        assert ON_CONVERSE[feature](body), body
    elif feature is F.TOOL_ERRORS:
        [result] = _results(READ[target](body))
        assert result.is_error or "[the tool failed]" in str(result.parts)
    else:
        again = READ[target](body)
        assert KEPT[feature](again) == KEPT[feature](said)


@pytest.mark.parametrize(("client", "target"), PAIRS)
def test_thoughts_come_back_to_who_thought_them_and_to_nobody_else(client: WireName, target: WireName) -> None:
    if Feature.THINKING not in SAYABLE[client] or target is WireName.OPENAI:
        pytest.skip("this wire has no place for thoughts")
    example = EXAMPLES[client][F.THINKING]
    sealed = json.dumps(example).replace("c2lnbmVk", f"{target}:b3du").replace("c2VhbGVk", f"{target}:b3du")
    if client is WireName.GEMINI:
        return  # its proofs are kept by the call's id and never given away
    said = READ[client](json.loads(sealed))
    [thought] = _parts(Thinking)(said)
    assert (thought.proof, thought.origin) == ("b3du", target)
    assert "b3du" in json.dumps(written(target, said))
