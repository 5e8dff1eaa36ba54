"""The sinks of notices, from the configuration: files in place, addresses from it or from the vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bawn.app.posting import Posting
from bawn.errors import Fault
from bawn.notify.settings import Notify, SinkKind, fits
from bawn.notify.settings import Sink as Said
from bawn.notify.sinks import AppriseSink, FileSink, Sink, WebhookSink
from bawn.vault.vault import Vault

IN_VAULT = "notify-"
"""Begins the name under which the address of a sink is kept with `bawn keys add`."""


def sinks(home: Path, vault: Vault, posting: Posting) -> Callable[[Notify], Mapping[str, Sink]]:
    by_apprise = posting.by_socket(home / "run" / "notifier.sock")

    def sink(name: str, said: Said, timeout_s: float) -> Sink:
        match said.kind:
            case SinkKind.FILE:
                # The gateway process may write nowhere else.
                return FileSink(home / "state" / f"notices-{name}.jsonl")
            case SinkKind.WEBHOOK:
                return WebhookSink(partial(_address, vault, name, said), posting.post, timeout_s)
            case SinkKind.APPRISE:
                return AppriseSink(partial(_address, vault, name, said), by_apprise, timeout_s)

    def make(settings: Notify) -> Mapping[str, Sink]:
        return {name: sink(name, said, settings.timeout_seconds) for name, said in settings.sinks.items()}

    return make


def _address(vault: Vault, name: str, said: Said) -> str | None:
    if said.url is not None:
        return said.url
    try:
        secret = vault.secret_for(IN_VAULT + name)
    except Fault:
        return None
    kept = secret.reveal() if secret is not None else ""
    return kept if fits(said.kind, kept) else None
