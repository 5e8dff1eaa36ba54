"""A tunnel (CONNECT): opened when policy, record and connection stand, and even then not blindly.

1. The policy allows host and port. 2. The record of it is durable. 3. The name leads to acceptable addresses, and one of them
is connected to. 4. The container is told 200. 5. Its ClientHello is read before any byte of it goes on: it must name the
very host that was asked for. On 443 nothing but TLS passes; on other ports what begins like TLS is held to the same.
6. Where requests have to be seen (methods, paths, credentials) TLS ends here; elsewhere the bytes are passed on unread,
hello first.
"""

from __future__ import annotations

from bawn.egress import terminate
from bawn.egress.clienthello import BadHello, read_hello
from bawn.egress.conversation import Conversation
from bawn.egress.head import Head
from bawn.egress.inbox import Inbox
from bawn.egress.policy import PLAIN, TLS, Asked
from bawn.egress.reasons import Denied

_OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
_UNRECOGNISED = b"\x15\x03\x03\x00\x02\x02\x70"
"""The alert `unrecognized_name`, fatal (RFC 6066 §3): the nearest that TLS has to a reason."""
_RECORD = 0x16
"""How TLS begins."""


async def run(talk: Conversation, inbox: Inbox, head: Head) -> bool:
    """False when the tunnel stands and goes on by itself."""
    asked = Asked(head.host, head.port)
    allowed = talk.decide(asked)
    if asked.port == PLAIN:
        # In a tunnel nobody would see the requests, which a rule for port 80 may be about.
        sentence = "On port 80 requests are sent to the proxy as they are, without a tunnel."
        raise Denied("egress.not_allowed", sentence, host=asked.host, port=asked.port)
    ends_here = talk.must_be_seen(asked, allowed.rule)
    talk.unseen = not ends_here
    await talk.open(asked, allowed, encrypted=ends_here)
    client = talk.client
    client.write(_OPEN)
    try:
        first = await _hello(talk, inbox.rest(), asked)
    except Denied as denied:
        # Said in TLS's own words: an answer in HTTP would be none here.
        talk.refused(denied)
        client.write(_UNRECOGNISED)
        return True
    if ends_here:
        await terminate.run(talk, asked, first)
        return True
    client.put_back(first)
    client.join(talk.upstream, talk.meter.count_up)
    if asked.port == TLS:
        talk.upstream.join(client, talk.meter.count_down)
    return False


async def _hello(talk: Conversation, held: bytes, asked: Asked) -> bytes:
    """The first bytes of the container, in which a ClientHello, if there is one, names the host."""
    if asked.port != TLS and not held:
        # Here the other side may speak first, so it is listened to meanwhile.
        talk.upstream.join(talk.client, talk.meter.count_down)
        held = await talk.client.read()
    if asked.port != TLS and (not held or held[0] != _RECORD):
        return held
    talk.wait_at_most(talk.walls.limits.head_s)
    while True:
        try:
            hello = read_hello(held)
        except BadHello as bad:
            raise Denied(bad.code, bad.sentence, host=asked.host, port=asked.port) from bad
        if hello is not None:
            break
        data = await talk.client.read()
        if not data:
            raise Denied("egress.not_tls", "The tunnel ended before its TLS hello.", host=asked.host, port=asked.port)
        held += data
    if hello.server_name != asked.host:
        sentence = "The TLS hello names another host than the tunnel is for."
        raise Denied("egress.sni_mismatch", sentence, host=asked.host, port=asked.port)
    talk.wait_at_most(None)
    return held
