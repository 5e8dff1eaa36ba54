"""A request for every feature that the client of a wire can make use of."""

from __future__ import annotations

from typing import Any

from bawn.terms.exchange import WireName
from bawn.translation.features import Feature

F = Feature
PNG = "iVBORw0KGgoAAAANSUhEUg=="
PDF = "JVBERi0xLjcK"
WAV = "UklGRg=="
PICTURE = f"data:image/png;base64,{PNG}"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
HELLO = {"role": "user", "content": "hello"}


def _chat(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content: Any = [{"type": "text", "text": "look"}, *parts] if parts else "hello"
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


_CHAT_TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
_CHAT_TOOLS: dict[str, Any] = {"tools": [_CHAT_TOOL]}
_CHAT_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"path":"a"}'}}],
}

CHAT: dict[F, dict[str, Any]] = {
    F.TEXT: _chat({"type": "text", "text": "twice"}),
    F.SYSTEM: {"model": "m", "messages": [{"role": "system", "content": "be kind"}, HELLO]},
    F.LATER_SYSTEM: {"model": "m", "messages": [HELLO, {"role": "developer", "content": "be kind"}, HELLO]},
    F.IMAGE: _chat({"type": "image_url", "image_url": {"url": PICTURE}}),
    F.IMAGE_URL: _chat({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
    F.FILE: _chat({"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}),
    F.AUDIO: _chat({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
    F.TOOLS: {
        "model": "m",
        "messages": [HELLO, _CHAT_CALL, {"role": "tool", "tool_call_id": "call_1", "content": "a file"}],
        **_CHAT_TOOLS,
    },
    F.STRICT_TOOLS: _chat(
        tools=[{"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}]
    ),
    F.FREE_TOOLS: _chat(tools=[{"type": "custom", "custom": {"name": "patch", "description": "Patches."}}]),
    F.TOOL_CHOICE: _chat(tool_choice={"type": "function", "function": {"name": "look"}}, **_CHAT_TOOLS),
    F.NO_TOOL: _chat(tool_choice="none", **_CHAT_TOOLS),
    F.ONE_BY_ONE: _chat(parallel_tool_calls=False, **_CHAT_TOOLS),
    F.EFFORT: _chat(reasoning_effort="low", max_completion_tokens=9000),
    F.MAX_TOKENS: _chat(max_tokens=77),
    F.TEMPERATURE: _chat(temperature=0.5),
    F.TOP_P: _chat(top_p=0.5),
    F.STOP: _chat(stop=["END", "STOP"]),
    F.SEED: _chat(seed=7),
    F.PENALTIES: _chat(frequency_penalty=0.5, presence_penalty=0.25),
    F.LOGIT_BIAS: _chat(logit_bias={"50256": -100}),
    F.LOGPROBS: _chat(logprobs=True),
    F.CHOICES: _chat(n=2),
    F.SOUND: _chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
    F.JSON: _chat(response_format={"type": "json_object"}),
    F.JSON_SCHEMA: _chat(response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}),
    F.VERBOSITY: _chat(verbosity="low"),
    F.CACHE_KEY: _chat(prompt_cache_key="k"),
    F.USER: _chat(user="someone"),
    F.HINTS: _chat(service_tier="flex"),
    F.KEPT: _chat({"type": "file", "file": {"file_id": "file-1"}}),
    F.HOSTED: _chat(tools=[{"type": "web_search"}]),
}


def _messages(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content: Any = [{"type": "text", "text": "look"}, *blocks] if blocks else "hello"
    return {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": content}], **fields}


def _used(*content: dict[str, Any], thinking: bool = False, **result: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"path": "a"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}
    given = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "a file"}, *content]}
    return {
        "model": "m",
        "max_tokens": 50,
        "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
        "messages": [
            HELLO,
            {"role": "assistant", "content": [thought, use] if thinking else [use]},
            {"role": "user", "content": [given | result]},
        ],
    }


_MESSAGES_TOOLS: dict[str, Any] = {"tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}]}
_SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}

MESSAGES: dict[F, dict[str, Any]] = {
    F.TEXT: _messages({"type": "text", "text": "twice"}),
    F.SYSTEM: _messages(system=[{"type": "text", "text": "be kind"}]),
    F.LATER_SYSTEM: {
        "model": "m",
        "max_tokens": 50,
        "messages": [HELLO, {"role": "system", "content": "be kind"}, HELLO],
    },
    F.IMAGE: _messages({"type": "image", "source": _SOURCE}),
    F.IMAGE_URL: _messages({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
    F.FILE: _messages(
        {"type": "document", "title": "a.pdf",
         "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    ),
    F.FILE_URL: _messages({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}),
    F.TOOLS: _used(),
    F.TOOL_ERRORS: _used(is_error=True),
    F.TOOL_IMAGES: _used({"type": "image", "source": _SOURCE}),
    F.THINKING: _used(thinking=True),
    F.STRICT_TOOLS: _messages(tools=[{"name": "look", "input_schema": SCHEMA, "strict": True}]),
    F.TYPED_TOOLS: _messages(tools=[{"type": "bash_20250124", "name": "bash"}]),
    F.TOOL_CHOICE: _messages(tool_choice={"type": "tool", "name": "look"}, **_MESSAGES_TOOLS),
    F.NO_TOOL: _messages(tool_choice={"type": "none"}, **_MESSAGES_TOOLS),
    F.ONE_BY_ONE: _messages(tool_choice={"type": "auto", "disable_parallel_tool_use": True}, **_MESSAGES_TOOLS),
    F.EFFORT: _messages(thinking={"type": "enabled", "budget_tokens": 2048}) | {"max_tokens": 9000},
    F.MAX_TOKENS: _messages(),
    F.TEMPERATURE: _messages(temperature=0.5),
    F.TOP_P: _messages(top_p=0.5),
    F.TOP_K: _messages(top_k=5),
    F.STOP: _messages(stop_sequences=["END", "STOP"]),
    F.JSON_SCHEMA: _messages(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    F.CACHE_MARKS: _messages({"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}),
    F.USER: _messages(metadata={"user_id": "someone"}),
    F.HINTS: _messages(service_tier="auto"),
    F.KEPT: _messages({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    F.HOSTED: _messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
}  # fmt: skip


def _responses(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content: Any = [{"type": "input_text", "text": "look"}, *parts] if parts else "hello"
    return {"model": "m", "input": [{"role": "user", "content": content}], **fields}


_FUNCTION = {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": False}
_RESPONSES_TOOLS: dict[str, Any] = {"tools": [_FUNCTION]}


def _called(output: Any, *before: dict[str, Any]) -> dict[str, Any]:
    call = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"path":"a"}'}
    given = {"type": "function_call_output", "call_id": "call_1", "output": output}
    return {"model": "m", "input": [HELLO, *before, call, given], **_RESPONSES_TOOLS}


RESPONSES: dict[F, dict[str, Any]] = {
    F.TEXT: _responses({"type": "input_text", "text": "twice"}),
    F.SYSTEM: _responses(instructions="be kind"),
    F.LATER_SYSTEM: {"model": "m", "input": [HELLO, {"role": "developer", "content": "be kind"}, HELLO]},
    F.IMAGE: _responses({"type": "input_image", "image_url": PICTURE}),
    F.IMAGE_URL: _responses({"type": "input_image", "image_url": "https://example.com/a.png"}),
    F.FILE: _responses({"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}),
    F.FILE_URL: _responses({"type": "input_file", "file_url": "https://example.com/a.pdf"}),
    F.TOOLS: _called("a file"),
    F.TOOL_IMAGES: _called([{"type": "input_text", "text": "a file"}, {"type": "input_image", "image_url": PICTURE}]),
    F.THINKING: _called("a file", {"type": "reasoning", "summary": [], "encrypted_content": "c2VhbGVk"}),
    F.STRICT_TOOLS: _responses(tools=[{**_FUNCTION, "strict": True}]),
    F.FREE_TOOLS: _responses(tools=[{"type": "custom", "name": "patch", "description": "Patches."}]),
    F.TOOL_SETS: _responses(tools=[{"type": "namespace", "name": "set", "description": "", "tools": [_FUNCTION]}]),
    F.TYPED_TOOLS: _responses(tools=[{"type": "local_shell"}]),
    F.TOOL_CHOICE: _responses(tool_choice={"type": "function", "name": "look"}, **_RESPONSES_TOOLS),
    F.NO_TOOL: _responses(tool_choice="none", **_RESPONSES_TOOLS),
    F.ONE_BY_ONE: _responses(parallel_tool_calls=False, **_RESPONSES_TOOLS),
    F.EFFORT: _responses(reasoning={"effort": "low"}, max_output_tokens=9000),
    F.MAX_TOKENS: _responses(max_output_tokens=77),
    F.TEMPERATURE: _responses(temperature=0.5),
    F.TOP_P: _responses(top_p=0.5),
    F.LOGPROBS: _responses(top_logprobs=2),
    F.JSON: _responses(text={"format": {"type": "json_object"}}),
    F.JSON_SCHEMA: _responses(text={"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}),
    F.VERBOSITY: _responses(text={"verbosity": "low"}),
    F.CACHE_KEY: _responses(prompt_cache_key="k"),
    F.USER: _responses(user="someone"),
    F.HINTS: _responses(service_tier="flex"),
    F.KEPT: _responses(previous_response_id="resp_1"),
    F.HOSTED: _responses(tools=[{"type": "web_search"}]),
}


def _gemini(*parts: dict[str, Any], settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "look"}, *parts]}], **fields}
    return body | ({"generationConfig": settings} if settings else {})


_GEMINI_TOOLS: dict[str, Any] = {
    "tools": [{"functionDeclarations": [{"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA}]}]
}


def _functions(response: dict[str, Any], *more: dict[str, Any], signed: bool = False) -> dict[str, Any]:
    call: dict[str, Any] = {"functionCall": {"id": "call_1", "name": "look", "args": {"path": "a"}}}
    given = {"functionResponse": {"id": "call_1", "name": "look", "response": response, "parts": [*more]}}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "look"}]},
            {"role": "model", "parts": [call | ({"thoughtSignature": "c2lnbmVk"} if signed else {})]},
            {"role": "user", "parts": [given]},
        ],
        **_GEMINI_TOOLS,
    }


_INLINE = {"inlineData": {"mimeType": "image/png", "data": PNG}}

GEMINI: dict[F, dict[str, Any]] = {
    F.TEXT: _gemini({"text": "twice"}),
    F.SYSTEM: _gemini(systemInstruction={"parts": [{"text": "be kind"}]}),
    F.IMAGE: _gemini(_INLINE),
    F.FILE: _gemini({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    F.AUDIO: _gemini({"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
    F.TOOLS: _functions({"output": "a file"}),
    F.TOOL_ERRORS: _functions({"error": "a file"}),
    F.TOOL_IMAGES: _functions({"output": "a file"}, _INLINE),
    F.THINKING: _functions({"output": "a file"}, signed=True),
    F.TOOL_CHOICE: _gemini(
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}}, **_GEMINI_TOOLS
    ),
    F.NO_TOOL: _gemini(toolConfig={"functionCallingConfig": {"mode": "NONE"}}, **_GEMINI_TOOLS),
    F.EFFORT: _gemini(settings={"thinkingConfig": {"thinkingBudget": 2048}, "maxOutputTokens": 9000}),
    F.MAX_TOKENS: _gemini(settings={"maxOutputTokens": 77}),
    F.TEMPERATURE: _gemini(settings={"temperature": 0.5}),
    F.TOP_P: _gemini(settings={"topP": 0.5}),
    F.TOP_K: _gemini(settings={"topK": 5}),
    F.STOP: _gemini(settings={"stopSequences": ["END", "STOP"]}),
    F.SEED: _gemini(settings={"seed": 7}),
    F.PENALTIES: _gemini(settings={"frequencyPenalty": 0.5, "presencePenalty": 0.25}),
    F.LOGPROBS: _gemini(settings={"responseLogprobs": True}),
    F.CHOICES: _gemini(settings={"candidateCount": 2}),
    F.SOUND: _gemini(settings={"responseModalities": ["AUDIO"]}),
    F.JSON: _gemini(settings={"responseMimeType": "application/json"}),
    F.JSON_SCHEMA: _gemini(settings={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}),
    F.HINTS: _gemini(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
    F.KEPT: _gemini(cachedContent="cachedContents/1"),
    F.HOSTED: _gemini(tools=[{"googleSearch": {}}]),
}

EXAMPLES: dict[WireName, dict[F, dict[str, Any]]] = {
    WireName.OPENAI: CHAT,
    WireName.RESPONSES: RESPONSES,
    WireName.ANTHROPIC: MESSAGES,
    WireName.GEMINI: GEMINI,
}
