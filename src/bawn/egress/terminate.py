"""Where TLS ends in this process: each request is seen, judged and sent on by a connection of our own.

The container speaks with a certificate of this boot's authority, the upstream has to prove itself to the host's trust store.
HTTP/1.1 alone is spoken on both sides. The host of every request is compared again with the one that was asked for,
because an equal name in the hello still lets requests name another behind the same front.
"""

from __future__ import annotations

from bawn.egress.conversation import Conversation
from bawn.egress.exchange import exchange
from bawn.egress.head import Head, bad
from bawn.egress.inbox import Inbox
from bawn.egress.policy import Asked
from bawn.egress.reasons import Denied, answer
from bawn.egress.tls import Terminated


async def run(talk: Conversation, tunnel: Asked, first: bytes) -> None:
    """Until one side has no more to say, or something is refused."""
    limits = talk.walls.limits
    talk.client.put_back(first)
    inside = Terminated(talk.client, talk.walls.authority.context(tunnel.host))
    talk.wait_at_most(limits.head_s)
    await inside.handshake()
    inbox = Inbox(inside)
    while True:
        try:
            head = await inbox.head()
            if head is None or not await _request(talk, inbox, inside, head, tunnel):
                break
        except Denied as denied:
            talk.refused(denied)
            inside.write(answer(denied))
            break
        talk.wait_at_most(limits.idle_s)
    inside.close()


async def _request(talk: Conversation, inbox: Inbox, inside: Terminated, head: Head, tunnel: Asked) -> bool:
    if head.port or not head.path:
        raise bad("Inside the tunnel a request names a path, not a whole address.")
    said = head.get(b"host")[0].partition(b":")[2]
    if head.host != tunnel.host or said not in (b"", b"%d" % tunnel.port):
        sentence = "The Host of the request is another than the tunnel is for."
        raise Denied("egress.authority_mismatch", sentence, host=tunnel.host, port=tunnel.port)
    asked = Asked(tunnel.host, tunnel.port, head.method.decode("ascii"), head.path.partition(b"?")[0])
    allowed = talk.decide(asked)
    await talk.keep_open(asked, allowed)
    return await exchange(talk, inbox, inside, head, asked, encrypted=True, repository=allowed.rule.git)
