"""What each kind of provider speaks, where it is, and how its key is sent: a table, not branches."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from bawn.errors import Fault
from bawn.gateway.settings import Provider, ProviderKind
from bawn.terms.exchange import Endpoint, WireName


class Habits(Struct, frozen=True):
    """What holds for all providers of one kind."""

    base_url: str
    """Empty when the configuration has to say it."""
    paths: dict[Endpoint, str]
    """Endpoints it serves, and the path behind the base URL."""
    key_header: bytes
    key_prefix: bytes


_COMPATIBLE_PATHS = {
    Endpoint.CHAT_COMPLETIONS: "/chat/completions",
    Endpoint.RESPONSES: "/responses",
    Endpoint.COMPLETIONS: "/completions",
    Endpoint.EMBEDDINGS: "/embeddings",
    Endpoint.RERANK: "/rerank",
}
_OPENAI_PATHS = {
    Endpoint.CHAT_COMPLETIONS: "/chat/completions",
    Endpoint.RESPONSES: "/responses",
    Endpoint.COMPLETIONS: "/completions",
    Endpoint.EMBEDDINGS: "/embeddings",
    Endpoint.IMAGES: "/images/generations",
    Endpoint.MODERATIONS: "/moderations",
}
_ANTHROPIC_PATHS = {Endpoint.MESSAGES: "/messages", Endpoint.COUNT_TOKENS: "/messages/count_tokens"}

HABITS: dict[ProviderKind, Habits] = {
    ProviderKind.ANTHROPIC: Habits("https://api.anthropic.com/v1", _ANTHROPIC_PATHS, b"x-api-key", b""),
    ProviderKind.OPENAI: Habits("https://api.openai.com/v1", _OPENAI_PATHS, b"authorization", b"Bearer "),
    ProviderKind.OPENAI_COMPATIBLE: Habits("", _COMPATIBLE_PATHS, b"authorization", b"Bearer "),
    ProviderKind.SCRIPTED: Habits(
        "", _COMPATIBLE_PATHS | _OPENAI_PATHS | _ANTHROPIC_PATHS, b"authorization", b"Bearer "
    ),
}

WIRE_OF: dict[Endpoint, WireName] = {
    Endpoint.CHAT_COMPLETIONS: WireName.OPENAI,
    Endpoint.RESPONSES: WireName.RESPONSES,
    Endpoint.COMPLETIONS: WireName.OPENAI,
    Endpoint.EMBEDDINGS: WireName.OPENAI,
    Endpoint.IMAGES: WireName.OPENAI,
    Endpoint.MODERATIONS: WireName.OPENAI,
    Endpoint.RERANK: WireName.OPENAI,
    Endpoint.MESSAGES: WireName.ANTHROPIC,
    Endpoint.COUNT_TOKENS: WireName.ANTHROPIC,
}


class Origin(Struct, frozen=True):
    """Where connections go: the key of the pool. Built from configuration only, never from a call."""

    host: str
    port: int
    tls: bool
    unix: str = ""
    """Path of a unix socket; then host and port only fill the Host header."""

    @property
    def authority(self) -> str:
        default = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"


class Address(Struct, frozen=True):
    """A provider as the data plane needs it, compiled once per reload."""

    name: str
    kind: ProviderKind
    origin: Origin
    prefix: str
    """Path before the endpoint's own, without a trailing slash."""
    needs_key: bool

    def path(self, endpoint: Endpoint) -> str:
        habits = HABITS[self.kind]
        if endpoint not in habits.paths:
            raise Fault(
                "request.wire_mismatch",
                f"The provider {self.name!r} does not serve {endpoint.value!r}.",
            )
        return self.prefix + habits.paths[endpoint]

    def key_header(self, secret: str) -> tuple[bytes, bytes]:
        habits = HABITS[self.kind]
        return habits.key_header, habits.key_prefix + secret.encode("ascii")


def address_of(name: str, provider: Provider, scripted_socket: str) -> Address:
    """Compile a configured provider. Raises Fault `config.invalid` when its address cannot be used."""
    if provider.kind is ProviderKind.SCRIPTED and provider.base_url is None:
        origin = Origin("scripted.bawn.internal", 80, tls=False, unix=scripted_socket)
        return Address(name, provider.kind, origin, "/v1", needs_key=False)
    base = provider.base_url or HABITS[provider.kind].base_url
    if not base:
        raise Fault("config.invalid", f"providers.{name}: the kind {provider.kind.value!r} needs a base_url.")
    if base.startswith("unix:"):
        origin = Origin(f"{name}.bawn.internal", 80, tls=False, unix=base.removeprefix("unix:"))
        return Address(name, provider.kind, origin, "/v1", provider.key == "vault")
    parts = urlsplit(base)
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Fault("config.invalid", f"providers.{name}.base_url: give scheme, host, port and path, nothing else.")
    tls = parts.scheme == "https"
    origin = Origin(parts.hostname, parts.port or (443 if tls else 80), tls)
    needs_key = provider.key == "vault" and provider.kind is not ProviderKind.SCRIPTED
    return Address(name, provider.kind, origin, parts.path.rstrip("/"), needs_key)
