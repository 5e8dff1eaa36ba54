"""The sinks of notices, from the configuration: files in place, addresses from it or from the vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bawn.errors import Fault
from bawn.notify.settings import Notify, SinkKind, web_address
from bawn.notify.settings import Sink as Said
from bawn.notify.sinks import FileSink, Post, Sink, WebhookSink
from bawn.vault.vault import Vault

IN_VAULT = "notify-"
"""Begins the name under which the address of a sink is kept with `bawn keys add`."""


def sinks(home: Path, vault: Vault, post: Post) -> Callable[[Notify], Mapping[str, Sink]]:
    def make(settings: Notify) -> Mapping[str, Sink]:
        return {
            name: _sink(home, vault, post, settings.timeout_seconds, name, said)
            for name, said in settings.sinks.items()
        }

    return make


def _sink(home: Path, vault: Vault, post: Post, timeout_s: float, name: str, said: Said) -> Sink:
    match said.kind:
        case SinkKind.FILE:
            # The gateway process may write nowhere else.
            return FileSink(home / "state" / f"notices-{name}.jsonl")
        case SinkKind.WEBHOOK:
            return WebhookSink(partial(_address, vault, name, said), post, timeout_s)


def _address(vault: Vault, name: str, said: Said) -> str | None:
    if said.url is not None:
        return said.url
    try:
        secret = vault.secret_for(IN_VAULT + name)
    except Fault:
        return None
    kept = secret.reveal() if secret is not None else ""
    return kept if web_address(kept) else None
