"""What rules do beside conversations: webhooks by the gateway's way out, notices to people, commands in boxes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from bawn.app.posting import Posting
from bawn.app.rule_firings import CommandFailed
from bawn.enforcement.effects import Doing
from bawn.enforcement.settings import Rules
from bawn.enforcement.telling import body, environment, whole
from bawn.errors import Fault
from bawn.lines.line import Line
from bawn.notify.notice import Notice
from bawn.notify.notices import Notices
from bawn.notify.pauses import pause
from bawn.rules.model import Notification, Shell, Webhook
from bawn.sandbox.following import MOST_TOLD
from bawn.terms.clock import Clock
from bawn.vault.vault import Vault

SIGNING = "rules-webhook"
"""The name under which the secret that signs webhooks is kept with `bawn keys add`."""
COMMANDS = 4
"""Commands of all rules that run at once."""
PAUSE_S = 1.0
_START_S = 30.0
_END_S = 10.0
_RESULT_BYTES = 32 * 2**20
_TOLD = 300


class RuleActs:
    def __init__(
        self,
        settings: Callable[[], Rules],
        posting: Posting,
        notices: Notices,
        boxes: Callable[[], Line],
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._posting = posting
        self._notices = notices
        self._boxes = boxes
        self._vault = vault
        self._clock = clock
        self._room = asyncio.Semaphore(COMMANDS)
        self.pause_s = PAUSE_S

    async def do(self, doing: Doing) -> None:
        """A Fault says why it could not be done."""
        match doing.action:
            case Webhook():
                await self._webhook(doing.action, doing)
            case Notification(title=title, body=text):
                await self._notices.send(Notice(title, text), None, f"rule {doing.rule.id}")
            case Shell():
                await self._command(doing.action, doing)

    # webhooks

    async def _webhook(self, hook: Webhook, doing: Doing) -> None:
        settings = self._settings()
        told = body(doing.happened, self._clock.now())
        url, data = hook.url, b""
        if hook.method == "GET":
            fields = {name: ",".join(value) if isinstance(value, list) else value for name, value in told.items()}
            url += ("&" if urlsplit(url).query else "?") + urlencode(fields)
        else:
            data = json.dumps(told).encode("ascii")
        delivery = secrets.token_hex(8)
        private = (urlsplit(hook.url).hostname or "") in settings.private_webhooks
        because = ""
        for attempt in range(settings.webhook_attempts):
            if attempt:
                await asyncio.sleep(pause(attempt, self.pause_s))
            headers = {**hook.headers, "x-bawn-delivery": delivery, **self._signature(data or url.encode())}
            try:
                async with asyncio.timeout(settings.webhook_seconds + 1):
                    status = await self._posting.send(
                        hook.method, url, headers, data, settings.webhook_seconds, private=private
                    )
            except TimeoutError:
                because = "upstream.timeout"
            except Fault as fault:
                if fault.code == "rule.failed":
                    raise
                because = fault.code
            else:
                if 200 <= status < 300:
                    return
                because = f"it answered {status}"
                if status not in (408, 425, 429) and status < 500:
                    break
        raise Fault("rule.failed", "A webhook did not arrive.", cause=because)

    def _signature(self, data: bytes) -> dict[str, str]:
        """Over the time and what is sent, so that an old one cannot be sent again."""
        try:
            secret = self._vault.secret_for(SIGNING)
        except Fault:
            raise Fault("rule.failed", "The secret that signs webhooks cannot be read.") from None
        if secret is None:
            return {}
        at = str(int(self._clock.now().timestamp()))
        signed = hmac.new(secret.reveal().encode(), f"{at}.".encode() + data, hashlib.sha256).hexdigest()
        return {"x-bawn-timestamp": at, "x-bawn-signature": f"sha256={signed}"}

    # commands

    async def _command(self, shell: Shell, doing: Doing) -> None:
        said = {
            "command": shell.command,
            "env": environment(doing.happened),
            "stdin": json.dumps(whole(doing.happened, self._clock.now())),
            "seconds": shell.timeout_seconds,
            "output_bytes": self._settings().command_bytes,
        }
        host = {"host": self._settings().host_user} if shell.host else {}
        if shell.host and not host["host"]:
            raise Fault("rule.failed", "The command of a rule failed.", cause="rules.host_user names nobody")
        told = json.dumps(said).encode("ascii")
        if shell.host and len(told) > MOST_TOLD:
            raise Fault("rule.failed", "The command of a rule failed.", cause="what happened is too long to tell it")
        async with self._room:
            result = await self._ran(told, shell.timeout_seconds, host)
        if result.get("failed") or result.get("code") != 0:
            # Short, whatever was told: the box is not believed to have kept to its bounds.
            failed = str(result.get("failed") or f"it ended with status {result.get('code')}")[:_TOLD]
            printed = str(result.get("output", "")).strip()[-_TOLD:]
            raise CommandFailed(failed, printed)

    async def _ran(self, said: bytes, seconds: float, host: dict[str, str]) -> dict[str, Any]:
        run = secrets.token_hex(8)
        try:
            packet = await self._boxes().ask("rule.run", wait_s=_START_S, run=run, **host)
            if len(packet.descriptors) != 1:
                packet.close()
                raise Fault("supervisor.unavailable", "The supervisor passed the wrong descriptors for a command.")
            async with asyncio.timeout(seconds + _END_S):
                result = await _told(socket.socket(fileno=packet.descriptors[0]), said)
        except TimeoutError:
            result = {"failed": f"it took longer than {seconds:g} s"}
        finally:
            with contextlib.suppress(Fault):
                await self._boxes().ask("rule.stop", run=run)
        return result


async def _told(end: socket.socket, said: bytes) -> dict[str, Any]:
    end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=end)
    try:
        writer.write(said)
        await writer.drain()
        writer.write_eof()
        parts: list[bytes] = []
        size = 0
        while part := await reader.read(1 << 16):
            parts.append(part)
            size += len(part)
            if size > _RESULT_BYTES:
                return {"failed": "it told more than it may"}
        found = json.loads(b"".join(parts))
        return found if isinstance(found, dict) else {"failed": "it was ended"}
    except (OSError, ValueError):
        return {"failed": "it was ended"}
    finally:
        writer.close()
