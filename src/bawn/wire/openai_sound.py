"""Sound in OpenAI's format: speech out of a text, and the text of speech (platform.openai.com/docs/api-reference/audio).

Neither fits the rest of the wire: an answer of speech is the sound itself, and a request for its text is a form with a
file in it. Both are read whole; a form goes on as it came, but for the model's name.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import structs

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.wire import fields
from bawn.wire.interface import Answer
from bawn.wire.multipart import MultipartReader, PartData, PartEnd, PartHead, boundary_of
from bawn.wire.openai_other import read_other
from bawn.wire.ways_out import Found, sweep, unknown_fields

FORM_FIELDS = frozenset((
    "file", "model", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "include", "stream",
    "chunking_strategy", "known_speaker_names", "known_speaker_references",
))  # fmt: skip
"""Of a transcription, without what stands in brackets behind them."""
JSON = b"application/json"

_TEXTS = (b"text/plain", b"text/vtt", b"text/srt", b"application/x-subrip")
SOUND = (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS)
"""Endpoints that answer something else than JSON."""
_SOUND = re.compile(rb"audio/[a-z0-9][a-z0-9.+-]{0,63}")
_PIECE = 64 * 1024
_MAX_TEXT = 256 * 1024
"""How long a field that is no sound may be."""


def read_speech(read: dict[str, Any], body: bytes) -> Exchange:
    """A request for speech. Fault `request.invalid`."""
    if fields.text(read, "stream_format", "audio") != "audio":
        raise Fault("request.invalid", "The field 'stream_format' is not taken here.", remedy="Leave it out.")
    found = Found()
    voice = read.get("voice")
    sweep({"voice": voice}, "", found)
    if isinstance(voice, dict):
        # A voice that was made at the provider.
        found.resources.append(fields.text(voice, "id"))
    exchange = read_other(Endpoint.SPEECH, read, body)
    return structs.replace(
        exchange,
        fetches=(*exchange.fetches, *found.fetches),
        resources=(*exchange.resources, *found.resources),
    )


def read_transcription(content_type: bytes, body: bytes) -> Exchange:
    """A form with a file of sound in it. Fault `request.invalid`."""
    form = _form(content_type, body)
    if fields.text(form, "stream", "false") != "false":
        raise Fault("request.invalid", "The field 'stream' is not taken here.", remedy="Ask for the whole answer.")
    model = fields.text(form, "model")
    if not model.isprintable():
        # It goes back into the form under its other name.
        raise fields.invalid("model", "one line")
    found = Found()
    sweep({name: value for name, value in form.items() if name != "prompt"}, "", found)
    return Exchange(
        wire=WireName.OPENAI,
        endpoint=Endpoint.TRANSCRIPTIONS,
        model=model,
        stream=False,
        body=body,
        unknown_tools=tuple(unknown_fields(form, FORM_FIELDS, {})),
        fetches=tuple(found.fetches),
        resources=tuple(found.resources),
    )


def _form(content_type: bytes, body: bytes) -> dict[str, Any]:
    """The fields with their texts; those that come more than once as a list, the file as nothing."""
    reader = MultipartReader(boundary_of(content_type))
    form: dict[str, Any] = {}
    head = PartHead("", None)
    data = bytearray()
    for start in range(0, len(body), _PIECE):
        for event in reader.feed(body[start : start + _PIECE]):
            if isinstance(event, PartHead):
                head = event
                if (head.filename is not None) is not (head.name == "file"):
                    raise Fault("request.invalid", "The field 'file' has to be a file, and is the only one.")
                data.clear()
            elif isinstance(event, PartData):
                if head.filename is None:
                    data += event.data
                    if len(data) > _MAX_TEXT and not head.name.startswith("known_speaker_references"):
                        raise Fault("request.invalid", f"A field of the form is over {_MAX_TEXT} bytes.")
            elif isinstance(event, PartEnd):
                _add(form, head, data)
    reader.close()
    if "file" not in form:
        raise fields.invalid("file", "a file")
    return form


def _add(form: dict[str, Any], head: PartHead, data: bytearray) -> None:
    name, bracket, _ = head.name.partition("[")
    if head.filename is not None:
        form[name] = None
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("request.invalid", "A field of the form is not UTF-8.") from None
    if bracket:
        several = form.setdefault(name, [])
        if isinstance(several, list):
            several.append(text)
            return
    if name in form:
        raise Fault("request.invalid", "A field of the form comes twice.")
    form[name] = text


def kind_of_answer(endpoint: Endpoint, content_type: bytes) -> bytes:
    """The type under which an answer goes out: JSON, but where an endpoint has another. Fault `upstream.broken`."""
    if endpoint is not Endpoint.SPEECH and endpoint is not Endpoint.TRANSCRIPTIONS:
        return JSON
    kind = content_type.partition(b";")[0].strip().lower()
    if endpoint is Endpoint.SPEECH:
        if not _SOUND.fullmatch(kind):
            raise Fault("upstream.broken", "The provider was asked for speech and answered something else.")
        return kind
    return b"text/plain; charset=utf-8" if kind in _TEXTS else JSON


def read_sound(kind: bytes, body: bytes) -> Answer:
    """An answer that is no JSON, which holds nothing to decide on. Fault `upstream.broken`."""
    if not body:
        raise Fault("upstream.broken", "The provider's answer is empty.")
    if kind.startswith(b"text/"):
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("upstream.broken", "The provider's answer is not UTF-8.") from None
    return Answer(None, (), "")
