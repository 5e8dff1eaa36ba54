"""What a container may say to its egress door, and who answers it: tunnels and plain requests, nothing else."""

from __future__ import annotations

from bawn.egress import plain, tunnel
from bawn.egress.conversation import Conversation
from bawn.egress.inbox import Inbox


async def talk(conversation: Conversation) -> bool:
    """Whether the connection has to be closed in the end; a tunnel goes on by itself."""
    inbox = Inbox(conversation.client)
    limits = conversation.walls.limits
    conversation.wait_at_most(limits.head_s)
    while True:
        head = await inbox.head()
        if head is None:
            return True
        if head.method == b"CONNECT":
            return await tunnel.run(conversation, inbox, head)
        if not await plain.run(conversation, inbox, head):
            return True
        conversation.wait_at_most(limits.idle_s)
