"""The answer of an upstream, read strictly and written anew for the container.

What is passed on is built from what was understood: the status, the headers without those of the hop, and a body framed by
us. So nothing that two readers could see differently reaches anybody. Redirects are answers like others and are never
followed; a switch of protocols is refused, because nobody could judge what comes after it.
"""

from __future__ import annotations

from collections import deque

import httptools

from bawn.egress.channel import Stream
from bawn.egress.scrub import Scrubber

_HEAD_LIMIT = 64 * 1024
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"alt-svc"}
)  # fmt: skip
"""Headers of one hop (RFC 9110 §7.6.1), and the one that would send the container past the proxy (RFC 7838)."""


class BrokenAnswerError(Exception):
    """An answer that cannot be passed on, with a sentence that says why."""


class UpstreamAnswer:
    """Reads one answer from `upstream` and passes it to a container."""

    def __init__(self, method: bytes, scrubber: Scrubber, *, plain_body: bool) -> None:
        self._head_only = method == b"HEAD"
        self._scrubber = scrubber
        self._plain_body = plain_body
        """Whether a body that is encoded must not pass, because nothing could be found in it."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: deque[bytes] = deque()
        self._head_bytes = 0
        self._head_done = False
        self._reason = b""
        self._informational = False
        self._over = False
        self._trouble = ""
        self.status = 0
        self.done = False
        self.begun = False
        """Whether the container was told anything yet."""
        self.keeps = False
        """Whether the upstream can be asked again on the same connection."""

    async def relay(self, upstream: Stream, client: Stream) -> None:
        """BrokenAnswerError or ConnectionError when it does not come whole."""
        chunked = False
        while not self.done:
            data = await upstream.read()
            if data:
                self._feed(data)
            else:
                self._end_of_connection()
            if self._head_done and not self.begun:
                chunked = self._framed_by_us()
                client.write(self._head(chunked))
                self.begun = True
            for piece in self._scrubbed():
                client.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await client.drain()
        if chunked:
            client.write(b"0\r\n\r\n")

    # inside

    def _feed(self, data: bytes) -> None:
        if not self._head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise BrokenAnswerError("The upstream switched to another protocol.") from error
        except httptools.HttpParserError as error:
            raise BrokenAnswerError(self._trouble or "The upstream's answer is not HTTP/1.1 as it must be.") from error
        if not self._head_done and self._head_bytes > _HEAD_LIMIT:
            raise BrokenAnswerError("The head of the upstream's answer is too large.")

    def _end_of_connection(self) -> None:
        names = {name for name, _ in self._headers}
        if not self._head_done or names & {b"content-length", b"transfer-encoding"}:
            raise BrokenAnswerError("The upstream closed the connection before its answer was whole.")
        self.done = True
        self.keeps = False

    def _framed_by_us(self) -> bool:
        return not self._bodyless and b"content-length" not in {name for name, _ in self._headers}

    @property
    def _bodyless(self) -> bool:
        return self._head_only or self.status in (204, 304)

    def _head(self, chunked: bool) -> bytes:
        whole = self._scrubber.whole
        connection = {
            word.strip().lower() for name, value in self._headers if name == b"connection" for word in value.split(b",")
        }
        lines = [b"HTTP/1.1 %d %b" % (self.status, whole(self._reason))]
        for name, value in self._headers:
            if name not in _HOP and (name not in connection or name == b"content-length"):
                lines.append(whole(name) + b": " + whole(value))
        if chunked:
            lines.append(b"transfer-encoding: chunked")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _scrubbed(self) -> list[bytes]:
        pieces = [self._scrubber.feed(piece) for piece in self._pieces]
        self._pieces.clear()
        if self.done:
            pieces.append(self._scrubber.rest())
        return [piece for piece in pieces if piece]

    # what httptools calls

    def on_message_begin(self) -> None:
        if self._over:
            self.keeps = False  # an answer that nobody asked for must not become the next one

    def on_status(self, status: bytes) -> None:
        if not self._over:
            self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # what comes later is a trailer, which nobody asked for
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._over:
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            self._informational = True
            if self.status == 101:
                self._refuse("The upstream switched to another protocol.")
            return
        if sum(len(name) + len(value) for name, value in self._headers) > _HEAD_LIMIT:
            self._refuse("The head of the upstream's answer is too large.")
        lengths = [value for name, value in self._headers if name == b"content-length"]
        codings = [value for name, value in self._headers if name == b"transfer-encoding"]
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            self._refuse("The upstream framed its answer in two ways.")
        if lengths and not (lengths[0].isdigit() and len(lengths[0]) <= 18):
            self._refuse("The upstream's answer has no valid length.")
        if codings and codings[0].strip().lower() != b"chunked":
            self._refuse("The upstream's answer is encoded for transfer in a way that is not known.")
        encodings = {value.strip().lower() for name, value in self._headers if name == b"content-encoding"}
        if self._plain_body and encodings - {b"identity", b""}:
            self._refuse("The upstream compressed its answer although it was asked not to.")
        self._head_done = True
        if self._head_only:
            self._over = self.done = True

    def on_body(self, body: bytes) -> None:
        if self._head_only or self._over:
            self.keeps = False
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._informational:
            # 1xx (RFC 9110 §15.2): the real head follows on the same parser.
            self._informational = False
            self._headers, self._reason = [], b""
            return
        if not self._over:
            self._over = self.done = True
            # After a head alone the parser would wait for the body that the head promised.
            self.keeps = self._parser.should_keep_alive() and not self._head_only

    def _refuse(self, sentence: str) -> None:
        self._trouble = sentence
        raise BrokenAnswerError(sentence)
