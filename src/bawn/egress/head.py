"""The head of a request to the proxy, read so that nobody behind it can read it otherwise.

Three forms: CONNECT with `name:port`; whole addresses, `http://name[:port]/path`; and, inside TLS that ends at the door,
`/path` alone. One Host, and it says what the target says; one way of framing the body; lines end with CRLF and nothing
else does; no folded lines, no control characters, no spaces before a colon (RFC 9112 §2.2, §5.1, §6.3). What is odd is
refused, never mended: two readers that mend differently are how requests are smuggled.
"""

from __future__ import annotations

import re

from msgspec import Struct

from bawn.egress.hosts import BadHostError, host_port, normal_host, read_port
from bawn.egress.reasons import Denied

HEAD_LIMIT = 16 * 1024
_LINES = 100
_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,17})\Z")
_METHOD = re.compile(rb"[A-Z]{1,20}\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}\Z")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*\Z")
_TARGET = re.compile(rb"[!-~]{1,8192}\Z")


class Head(Struct, frozen=True):
    method: bytes
    target: bytes
    """As it was sent."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, values without the spaces around them, in their order."""
    host: str
    """The normal name that target and Host agree on."""
    port: int
    """0 where the target is a path: then it is the tunnel's."""
    path: bytes = b""
    """With the query; empty for CONNECT."""
    length: int = 0
    """Of the body that follows, unless it is chunked."""
    chunked: bool = False
    keep_alive: bool = True

    def get(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name]


def read_head(held: bytes | bytearray) -> tuple[Head, int] | None:
    """The head that `held` begins with and its length; None when it is not whole yet. Denied `egress.malformed`."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        if len(held) > HEAD_LIMIT:
            raise bad("The head of the request is too long.")
        # What can never become a head is refused at once: a TLS hello would wait for its end for ever.
        if held and not 0x41 <= held[0] <= 0x5A:
            raise bad("This is no HTTP request; the door speaks HTTP to clients that know a proxy.")
        return None
    if end > HEAD_LIMIT:
        raise bad("The head of the request is too long.")
    first, *lines = bytes(held[:end]).split(b"\r\n")
    if len(lines) > _LINES:
        raise bad("The request has too many headers.")
    method, target, version = _first(first)
    headers = tuple(map(_header, lines))
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        raise bad("The request needs exactly one Host.")
    host, port, path = _place(method, target)
    _agree(hosts[0], host, port)
    length, chunked = _framing(method, version, headers)
    said = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    keep_alive = b"close" not in said if version == b"HTTP/1.1" else False
    return Head(method, target, headers, host or _named(hosts[0]), port, path, length, chunked, keep_alive), end + 4


def bad(sentence: str) -> Denied:
    return Denied("egress.malformed", sentence)


def _first(line: bytes) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise bad("The first line of the request is not METHOD TARGET HTTP/1.1.")
    method, target, version = parts
    if not _METHOD.match(method) or not _TARGET.match(target):
        raise bad("The first line of the request has characters that do not belong there.")
    return method, target, version


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.match(name):
        raise bad("A header of the request has no proper name.")
    value = value.strip(b" \t")
    if not _VALUE.match(value):
        raise bad("A header of the request has control characters.")
    return name.lower(), value


def _place(method: bytes, target: bytes) -> tuple[str, int, bytes]:
    text = target.decode("ascii")
    try:
        if method == b"CONNECT":
            host, port = host_port(text)
            return host, port, b""
        if text.startswith("/"):
            return "", 0, target
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() != "http":
            raise bad("A request to a proxy names a whole http:// address; for https use CONNECT.")
        authority, slash, path = rest.partition("/")
        if not slash and ("?" in authority or "#" in authority):
            raise bad("The address of the request has no path.")
        if "@" in authority:
            raise bad("An address with a user in it is not accepted.")
        name, colon, number = authority.partition(":")
        port = read_port(number) if colon else 80
        return normal_host(name), port, b"/" + path.encode("ascii")
    except BadHostError as error:
        raise Denied("egress.bad_host", str(error)) from error


def _agree(said: bytes, host: str, port: int) -> None:
    """Host says what the target says (RFC 9112 §3.2.2); only the scheme's own port may be left out."""
    try:
        text = said.decode("ascii")
        name, colon, number = text.rpartition(":") if ":" in text else (text, "", "")
        named = normal_host(name)
        number_said = read_port(number) if colon else None
    except (BadHostError, UnicodeDecodeError) as error:
        raise Denied("egress.bad_host", "The Host of the request is not the name of a host.") from error
    if host and (named != host or (number_said is not None and number_said != port)):
        raise Denied("egress.authority_mismatch", "The Host of the request is another than its address.")


def _named(said: bytes) -> str:
    return normal_host(said.decode("ascii").partition(":")[0])


def _framing(method: bytes, version: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[int, bool]:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise bad("The request frames its body in more than one way.")
    if codings and (codings[0].lower() != b"chunked" or version != b"HTTP/1.1"):
        raise bad("The body of the request is encoded for transfer in a way that is not known.")
    if lengths and not _LENGTH.match(lengths[0]):
        raise bad("The length of the request's body is not a number.")
    if method == b"CONNECT" and (codings or (lengths and lengths[0] != b"0")):
        raise bad("A CONNECT has no body.")
    return int(lengths[0]) if lengths else 0, bool(codings)
