"""Where a provider is and which of its paths a call goes to: what follows from configuration and model alone."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit

from msgspec import Struct

from bawn.errors import Fault, quoted
from bawn.gateway.habits import CONVERSATIONS, HABITS, WIRE_OF, Family, Habits
from bawn.gateway.settings import Provider, ProviderKind
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.value import Value
from bawn.translation.features import Feature

_KEPT = 1024
"""Clients choose the names of models; what is remembered about them is bounded."""
_NAME = re.compile(r"[A-Za-z0-9._:@/+-]{1,512}")


class Origin(Struct, frozen=True):
    """Where connections go: the key of the pool. Built from configuration only, never from a call."""

    host: str
    port: int
    tls: bool
    unix: str = ""
    """Path of a unix socket; then host and port only fill the Host header."""
    at: str = ""
    """The address that `host` was found to have, where it may be no other; empty: whatever the name says then."""

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
    added: frozenset[Endpoint] = frozenset()
    """Endpoints that the configuration adds to those of its kind."""
    removed: frozenset[Endpoint] = frozenset()
    region: str = ""
    lacks: frozenset[Feature] = frozenset()
    """What of translated conversations its models do not take."""

    def template(self, endpoint: Endpoint) -> str:
        """The path of an endpoint behind the prefix, with `{model}` where the model stands; empty: not served."""
        habits = HABITS[self.kind]
        if endpoint in self.removed:
            return ""
        if endpoint in habits.paths:
            return habits.paths[endpoint]
        return habits.addable[endpoint] if endpoint in self.added else ""

    def key_header(self, secret: str) -> tuple[bytes, bytes]:
        habits = HABITS[self.kind]
        return habits.key_header, habits.key_prefix + secret.encode("ascii")


class Serving(Value, frozen=True):
    """How a provider serves a call."""

    endpoint: Endpoint
    """The provider's own, which is another than the client's when the call is translated."""
    wire: WireName
    path: str
    """The whole path of the request, with the model where it belongs."""
    translated: bool
    """Whether request and answer go through the neutral conversation."""
    fields: tuple[tuple[str, str], ...] = ()
    """Fields that this provider has in the body; an empty one is taken out."""


@lru_cache(_KEPT)
def serving(address: Address, endpoint: Endpoint, wire: WireName, model: str, *, stream: bool = False) -> Serving:
    """The provider's endpoint for a call of a client.

    Natively where the provider speaks the client's wire, else by translation, which only conversations know. Fault
    `request.wire_mismatch` when the provider serves neither, `request.invalid` when no path can hold the model's name.
    """
    habits = HABITS[address.kind]
    family, name = _family(habits, address, model)
    if endpoint in family.endpoints and address.template(endpoint):
        return _served(address, endpoint, wire, name, stream, translated=False)
    preferred = family.conversation
    if endpoint in CONVERSATIONS and address.template(preferred):
        return _served(address, preferred, WIRE_OF[preferred], name, stream, translated=True)
    raise Fault("request.wire_mismatch", f"The provider {address.name!r} does not serve {endpoint.value!r}.")


def served(address: Address, model: str = "") -> tuple[Endpoint, ...]:
    """The endpoints that this provider serves natively, at all or for one model, in the order of their table."""
    habits = HABITS[address.kind]
    family = habits.families.get(model.partition("/")[0], _one_family(habits))
    return tuple(each for each in WIRE_OF if each in family.endpoints and address.template(each))


def _one_family(habits: Habits) -> Family:
    return Family(frozenset(WIRE_OF), habits.conversation)


def _family(habits: Habits, address: Address, model: str) -> tuple[Family, str]:
    """What the model's vendor serves, and the model's name there."""
    if not habits.families:
        return _one_family(habits), model
    vendor, slash, name = model.partition("/")
    if not slash or vendor not in habits.families:
        names = " or ".join(f"{each}/NAME" for each in habits.families)
        raise Fault("request.unknown_model", f"Models of the provider {address.name!r} are called {names}.")
    return habits.families[vendor], name


def _served(
    address: Address, endpoint: Endpoint, wire: WireName, model: str, stream: bool, *, translated: bool
) -> Serving:
    fields = HABITS[address.kind].fields.get(endpoint, ())
    named = tuple((name, value.replace("{model}", model)) for name, value in fields)
    return Serving(endpoint, wire, _path(address, endpoint, model, stream), translated, named)


def _path(address: Address, endpoint: Endpoint, model: str, stream: bool) -> str:
    habits = HABITS[address.kind]
    template = address.template(endpoint)
    if stream and endpoint in habits.stream_paths:
        template = habits.stream_paths[endpoint]
    return address.prefix + (template.replace("{model}", in_path(model)) if "{model}" in template else template)


def in_path(model: str) -> str:
    """A model's name as one segment of a path, which it cannot leave however often it is decoded."""
    if not _NAME.fullmatch(model) or any(part.strip(".") == "" for part in model.split("/")):
        raise Fault("request.invalid", f"The model's name {quoted(model)} cannot stand in this provider's path.")
    return quote(model, safe="")


def address_of(name: str, provider: Provider, scripted_socket: str) -> Address:
    """Compile a configured provider. Raises Fault `config.invalid` when its address cannot be used."""
    habits = HABITS[provider.kind]
    added, removed = _changed(name, provider, habits)
    lacks = frozenset(provider.lacks)
    if provider.kind is ProviderKind.SCRIPTED and provider.base_url is None:
        origin = Origin("scripted.bawn.internal", 80, tls=False, unix=scripted_socket)
        return Address(name, provider.kind, origin, "/v1", needs_key=False, added=added, removed=removed, lacks=lacks)
    base = _base(name, provider, habits)
    region = provider.region or ""
    if base.startswith("unix:"):
        origin = Origin(f"{name}.bawn.internal", 80, tls=False, unix=base.removeprefix("unix:"))
        return Address(name, provider.kind, origin, "/v1", provider.key == "vault", added, removed, region, lacks)
    parts = urlsplit(base)
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Fault("config.invalid", f"providers.{name}.base_url: give scheme, host, port and path, nothing else.")
    tls = parts.scheme == "https"
    origin = Origin(parts.hostname, parts.port or (443 if tls else 80), tls)
    needs_key = provider.key == "vault" and provider.kind is not ProviderKind.SCRIPTED
    return Address(name, provider.kind, origin, parts.path.rstrip("/"), needs_key, added, removed, region, lacks)


def seller(provider: Provider) -> str:
    """Whose prices hold for it, by the name in the price list; empty when it is not called at its kind's own address."""
    habits = HABITS[provider.kind]
    if provider.base_url is None:
        return habits.seller
    host = urlsplit(provider.base_url).hostname or ""
    return habits.seller if habits.sellers_hosts and host.endswith(habits.sellers_hosts) else ""


def _base(name: str, provider: Provider, habits: Habits) -> str:
    """The base URL as said, or the kind's own with region and project put in."""
    kind = provider.kind.value
    base = provider.base_url or habits.base_urls.get(provider.region or "", habits.base_url)
    if not base:
        raise Fault("config.invalid", f"providers.{name}: the kind {kind!r} needs a base_url.")
    for setting, value in (("region", provider.region), ("project", provider.project)):
        hole = f"{{{setting}}}"
        if value is None and (setting in habits.needs or (provider.base_url is None and hole in base)):
            raise Fault("config.invalid", f"providers.{name}: the kind {kind!r} needs a {setting}.")
        if value is not None and setting not in habits.needs and hole not in habits.base_url:
            raise Fault("config.invalid", f"providers.{name}.{setting}: the kind {kind!r} has none.")
        if provider.base_url is None and value is not None:
            base = base.replace(hole, value)
    return base


def _changed(name: str, provider: Provider, habits: Habits) -> tuple[frozenset[Endpoint], frozenset[Endpoint]]:
    """What `capabilities` adds and takes away."""
    known = habits.paths.keys() | habits.addable.keys()
    for endpoint in provider.capabilities:
        if endpoint not in known:
            names = ", ".join(sorted(each.value for each in known))
            raise Fault(
                "config.invalid",
                f"providers.{name}.capabilities: the kind {provider.kind.value!r} has no {endpoint.value!r}, but {names}.",
            )
    added = frozenset(each for each, there in provider.capabilities.items() if there)
    return added, frozenset(each for each, there in provider.capabilities.items() if not there)
