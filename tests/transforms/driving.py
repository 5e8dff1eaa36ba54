"""One call through one stage, as the pipeline drives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, Stage
from bawn.terms.exchange import Usage, WireName
from bawn.terms.frames import Frame
from bawn.wire import wire

OK = Ending(200, "ok", Usage(10, 5), "scripted/demo", 0.01, 20)


def frames_of(stream: bytes, *, pieces: int = 40) -> list[Frame]:
    """A stream as it comes, in pieces."""
    reader = wire(WireName.OPENAI).stream_reader(hide_usage=False)
    out: list[Frame] = []
    for at in range(0, len(stream), pieces):
        out += reader.feed(stream[at : at + pieces])
    return [*out, *reader.close()]


async def drive(stage: Stage, asked: Asked, answer: bytes, ending: Ending = OK) -> tuple[Given | None, bytes]:
    """What the stage gave itself, and the answer that came out in the end."""
    given = await stage.request(asked)
    if given is not None:
        stage.over(asked, ending)
        return given, given.data
    view = stage.view(asked)
    out = answer
    if view is not None and asked.exchange.stream:
        released: list[Frame] = []
        for frame in frames_of(answer):
            released += await view.frame(frame)
        out = b"".join(_data(frame) for frame in released)
    elif view is not None:
        out = await view.whole(answer)
    stage.over(asked, ending)
    return None, out


def _data(frame: Any) -> bytes:
    return bytes(frame.data)


def texts(frames: Sequence[Frame]) -> bytes:
    return b"".join(_data(frame) for frame in frames)
