"""OpenAI's format where nobody talks: completions, moderations, images and rerank, as the scripted model answers them.

All answers follow from the request alone, so that a test knows what has to come back.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from bawn.inference import openai_shape, responses_shape
from bawn.inference.answer import EVENTS, JSON, Answer
from bawn.inference.utterance import cut

_DONE = b"data: [DONE]\n\n"


def completion(body: dict[str, Any], seed: str, now: int) -> Answer:
    """The prompt again, whole or a word at a time."""
    prompt = body["prompt"]
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    words = cut(text, 0)
    usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
    head = {"id": f"cmpl-{seed[:24]}", "object": "text_completion", "created": now, "model": str(body["model"])}

    def choice(piece: str, finish: str | None) -> dict[str, Any]:
        return {"index": 0, "text": piece, "logprobs": None, "finish_reason": finish}

    if body.get("stream") is not True:
        return Answer(200, JSON, _json({**head, "choices": [choice(text, "stop")], "usage": usage}))

    def frames() -> Iterator[bytes]:
        for word in words:
            yield b"data: " + _json({**head, "choices": [choice(word, None)]}) + b"\n\n"
        yield b"data: " + _json({**head, "choices": [choice("", "stop")]}) + b"\n\n"
        if (body.get("stream_options") or {}).get("include_usage"):
            yield b"data: " + _json({**head, "choices": [], "usage": usage}) + b"\n\n"
        yield _DONE

    return Answer(200, EVENTS, frames=frames())


def _moderated(body: dict[str, Any], seed: str, now: int) -> bytes:
    """What holds the word `attack` is flagged."""
    given = body["input"]
    results = []
    for text in given if isinstance(given, list) else [given]:
        bad = "attack" in json.dumps(text)
        results.append(
            {
                "flagged": bad,
                "categories": {"violence": bad},
                "category_scores": {"violence": 0.9 if bad else 0.1},
                "category_applied_input_types": {"violence": ["text"]},
            }
        )
    return _json({"id": f"modr-{seed[:24]}", "model": str(body["model"]), "results": results})


def _ranked(body: dict[str, Any], seed: str, now: int) -> bytes:
    """Documents by how many words of the query they hold."""
    wanted = set(str(body["query"]).split())
    scored = []
    for index, document in enumerate(body["documents"]):
        words = (document if isinstance(document, str) else str(document["text"])).split()
        scored.append((-len(wanted & set(words)) / max(1, len(wanted)), index))
    most = int(body.get("top_n") or len(scored))
    results = [{"index": index, "relevance_score": -score} for score, index in sorted(scored)[:most]]
    tokens = sum(len(str(document).split()) for document in body["documents"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"id": seed[:24], "model": str(body["model"]), "results": results, "usage": usage})


def _drawn(body: dict[str, Any], seed: str, now: int) -> bytes:
    """Bytes of the prompt's digest in place of a picture."""
    picture = base64.b64encode(hashlib.sha256(str(body["prompt"]).encode()).digest()).decode()
    data = [{"b64_json": picture} for _ in range(int(body.get("n") or 1))]
    usage = {"input_tokens": len(cut(str(body["prompt"]), 0)), "output_tokens": 10, "total_tokens": 10}
    return _json({"created": now, "data": data, "usage": usage})


def _input_counted(body: dict[str, Any], seed: str, now: int) -> bytes:
    whole = responses_shape.heard({**body, "input": body.get("input") or []}, seed).whole
    return _json({"object": "response.input_tokens", "input_tokens": len(cut(whole, 0))})


def _embedded(body: dict[str, Any], seed: str, now: int) -> bytes:
    return openai_shape.embeddings(body)


ANSWERS: dict[str, Callable[[dict[str, Any], str, int], bytes]] = {
    "/embeddings": _embedded,
    "/responses/input_tokens": _input_counted,
    "/moderations": _moderated,
    "/rerank": _ranked,
    "/images/generations": _drawn,
}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
