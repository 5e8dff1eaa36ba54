"""Plain HTTP: a request with its whole address (`GET http://name/path`), sent on by a connection of its own.

Unencrypted means that everybody on the way can read and change it: it passes only where a rule names the port, and no
entrusted value ever goes there.
"""

from __future__ import annotations

from bawn.egress.conversation import Conversation
from bawn.egress.exchange import exchange
from bawn.egress.head import Head, bad
from bawn.egress.inbox import Inbox
from bawn.egress.policy import TLS, Asked
from bawn.egress.reasons import Denied


async def run(talk: Conversation, inbox: Inbox, head: Head) -> bool:
    """Whether another request may follow."""
    if not head.port:
        raise bad("This is a proxy: a request names the whole address, http://name/path.")
    if head.port == TLS:
        raise Denied("egress.not_tls", "On port 443 TLS is spoken, in a tunnel.", host=head.host, port=head.port)
    asked = Asked(head.host, head.port, head.method.decode("ascii"), head.path.partition(b"?")[0])
    await talk.open(asked, talk.decide(asked))
    goes_on = await exchange(talk, inbox, talk.client, head, asked, encrypted=False)
    talk.shut()
    return goes_on
