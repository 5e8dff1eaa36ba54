"""Speech and transcriptions, as the scripted model gives them: what is said is the text itself, and heard again.

Speech is a WAV file, or raw samples, whose bytes hold the text; a transcription of it gives the text back.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from bawn.inference.answer import EVENTS, JSON, Answer
from bawn.inference.uploads import Part
from bawn.inference.utterance import cut

_KINDS = {
    "mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # fmt: skip
_TEXT = (("content-type", "text/plain; charset=utf-8"),)


def spoken(body: dict[str, Any]) -> Answer:
    """Sound of `input`. Faults with a KeyError or TypeError when there is nothing to say."""
    text = body["input"]
    if not isinstance(text, str) or not isinstance(body["voice"], str | dict) or not isinstance(body["model"], str):
        raise TypeError("input")
    kind = _KINDS[body.get("response_format") or "mp3"]
    data = _wav(text.encode())
    if body.get("stream_format") == "sse":
        return Answer(200, EVENTS, frames=_speech_events(data, text))
    # Sound comes in chunks, since a provider sends it while it is made.
    pieces = (data[start : start + 1024] for start in range(0, len(data), 1024))
    return Answer(200, (("content-type", kind),), frames=pieces)


def _speech_events(data: bytes, text: str) -> Iterator[bytes]:
    for start in range(0, len(data), 1024):
        piece = base64.b64encode(data[start : start + 1024]).decode()
        yield _event({"type": "speech.audio.delta", "audio": piece})
    tokens = len(cut(text, 0))
    usage = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}
    yield _event({"type": "speech.audio.done", "usage": usage})


def _wav(samples: bytes) -> bytes:
    samples += b"\0" * (len(samples) % 2)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE") + form + b"data" + _sized(samples)


def _sized(samples: bytes) -> bytes:
    return struct.pack("<I", len(samples)) + samples


def transcribed(parts: list[Part]) -> Answer:
    """The text of a file of sound. Faults with a KeyError when the file or the model is missing."""
    fields = {part.name: part.text for part in parts if part.filename is None}
    files = [part for part in parts if part.name == "file" and part.filename is not None]
    if not files or "model" not in fields:
        raise KeyError("file" if not files else "model")
    text = _heard(files[0].content)
    tokens = len(cut(text, 0))
    usage = {
        "type": "tokens", "input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens,
        "input_token_details": {"audio_tokens": tokens, "text_tokens": 0},
    }  # fmt: skip
    if fields.get("stream") == "true":
        return Answer(200, EVENTS, frames=_transcript_events(text, usage))
    match fields.get("response_format", "json"):
        case "text":
            return Answer(200, _TEXT, text.encode() + b"\n")
        case "srt":
            return Answer(200, _TEXT, f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n".encode())
        case "vtt":
            return Answer(200, _TEXT, f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n".encode())
        case "verbose_json":
            whole = {"task": "transcribe", "language": "english", "duration": 1.0, "text": text, "segments": []}
            return Answer(200, JSON, _json({**whole, "usage": {"type": "duration", "seconds": 1}}))
        case _:
            return Answer(200, JSON, _json({"text": text, "usage": usage}))


def _heard(content: bytes) -> str:
    samples = content[44:] if content[:4] == b"RIFF" else content
    try:
        return samples.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes of sound"


def _transcript_events(text: str, usage: dict[str, Any]) -> Iterator[bytes]:
    for piece in cut(text, 0):
        yield _event({"type": "transcript.text.delta", "delta": piece})
    yield _event({"type": "transcript.text.done", "text": text, "usage": usage})


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
