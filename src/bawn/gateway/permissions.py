"""What the calls of a container may ask a provider for.

"No route" is only half of "no egress": a provider that searches the web, runs code or fetches a URL on
request is a way out as well. So all of that is refused unless the operator allowed it for the container,
and what this version does not know counts as not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bawn.errors import Fault, quoted
from bawn.gateway.catalogue import Catalogue, Target, matches
from bawn.gateway.settings import Allow
from bawn.terms.exchange import Exchange
from bawn.terms.principal import Container
from bawn.wire.objects import ObjectCall
from bawn.wire.ways_out import hosted_endings


class Owners(Protocol):
    """Who made which provider-side object (file, response, batch)."""

    def owner(self, provider: str, resource: str) -> str | None:
        """The uuid of the container that made it, or None when no record says so."""

    def kind(self, provider: str, resource: str) -> str:
        """What it is; empty when no record says so."""

    def count(self, provider: str, kinds: tuple[str, ...], container_uuid: str) -> int:
        """How many of these kinds a container owns there."""

    async def claim(self, provider: str, resource: str, kind: str, container_uuid: str, now: datetime) -> None:
        """Write down who made an object."""

    async def forget(self, provider: str, resource: str) -> None:
        """The object is no more."""

    async def settle(self, provider: str, resource: str) -> bool:
        """Whether its usage is to be settled now: true once."""


def _itself(container: Container) -> str:
    return container.name


class Permissions:
    """A snapshot of what is allowed; replaced as a whole on reload."""

    def __init__(
        self,
        catalogue: Catalogue,
        everyone: Allow,
        containers: Mapping[str, Allow],
        owners: Owners,
        stands_for: Callable[[Container], str] = _itself,
    ) -> None:
        self._catalogue = catalogue
        self._everyone = everyone
        self._containers = containers
        self.owners = owners
        self._stands_for = stands_for
        self._paths = frozenset(path for allow in (everyone, *containers.values()) for path in allow.paths)

    def of(self, container: Container) -> Allow:
        """The container's own block if it has one (whole, not merged), else that of everyone. One that was made for a task of
        another has that one's."""
        return self._containers.get(self._stands_for(container), self._everyone)

    def resolved(self, model: str) -> Target:
        """What a name of a model means, whoever may use it. Fault `request.unknown_model`."""
        return self._catalogue.resolve(model)

    def permit_model(self, name: str, model: str) -> Target:
        """Whether what stands under this name (empty: a container without a block) may use a model. Fault
        `request.unknown_model`."""
        target = self._catalogue.resolve(model)
        if not matches(self._containers.get(name, self._everyone).models, target.name):
            raise Fault("request.unknown_model", f"There is no model {quoted(model)} here.")
        return target

    def visible(self, container: Container) -> list[Target]:
        """The listed models that the container may use."""
        allow = self.of(container)
        return [target for target in self._catalogue.names() if matches(allow.models, target.name)]

    async def made(self, container: Container, target: Target, resource: str, kind: str, now: datetime) -> None:
        """The container made an object at the provider, and may name it from now on. One that is its own already stays;
        one of another was not made by this call, whatever the provider says."""
        owner = self.owners.owner(target.provider, resource)
        if owner is None:
            await self.owners.claim(target.provider, resource, kind, container.uuid, now)
        elif owner != container.uuid:
            raise Fault(
                "upstream.broken",
                "The provider gave a new object the id of another.",
                cause=f"{quoted(resource)} of {target.provider} was made by another container",
            )

    def permit_family(self, container: Container, family: str) -> None:
        """Fault `http.unknown_path`, as if there were no such calls, when the operator has not allowed them."""
        if family not in self.of(container).objects:
            raise Fault(
                "http.unknown_path",
                "There is nothing at this path.",
                cause=f"calls about {family} are allowed to {container.name} by `allow.objects: [{family}]`",
            )

    def opens(self, path: str) -> bool:
        """Whether the operator has opened this path, written as `POST responses/input_tokens`, for anybody."""
        return path in self._paths

    def permit_path(self, container: Container, path: str) -> None:
        """Fault `http.unknown_path`, as if it did not exist, when it is not opened for this container."""
        if path not in self.of(container).paths:
            raise Fault(
                "http.unknown_path",
                "There is nothing at this path.",
                cause=f"it is opened to {container.name} by `allow.paths: [{path}]`",
            )

    def permit_object(
        self, container: Container, exchange: Exchange, call: ObjectCall, keepers: Sequence[str]
    ) -> Target:
        """The provider to ask, one of `keepers`, or the Fault that says what is not allowed."""
        allow = self.of(container)
        self.permit_family(container, call.row.family)
        usable = [name for name in keepers if _reaches(allow.models, name)]
        if call.ids:
            wanted = [name for name in usable if call.provider in ("", name)]
            found = next((name for name in wanted if self._owns(container, name, call.ids[0])), None)
            if found is None:
                raise _not_found(call.ids[0])
        else:
            found = call.provider or self._catalogue.resolve("").provider
            if found not in usable:
                raise Fault(
                    "request.wire_mismatch",
                    f"No provider {quoted(found)} keeps objects of this wire here.",
                    cause=f"those that {container.name} may use: {', '.join(usable) or 'none'}",
                    remedy="Name another one with the header x-bawn-provider.",
                )
        self._permit_ways_out(container, allow, found, exchange)
        return Target(found, "")

    def target(self, model: str) -> Target:
        """What a name stands for, whoever asks. Fault `request.unknown_model`."""
        return self._catalogue.resolve(model)

    def permit(self, container: Container, exchange: Exchange) -> Target:
        """The provider and model to call, or the Fault that says what is not allowed."""
        allow = self.of(container)
        target = self._catalogue.resolve(exchange.model)
        if not matches(allow.models, target.name):
            # The same words as for a model that does not exist: a container need not learn what others have.
            raise Fault(
                "request.unknown_model",
                f"There is no model {quoted(exchange.model)} here.",
                cause=f"{target.name} is not among the models allowed to {container.name}",
            )
        for ending in hosted_endings(target.model):
            if ending not in allow.hosted_tools:
                raise Fault(
                    "request.hosted_tool_refused",
                    f"A model's name with {quoted(ending)} makes the provider look something up, outside the wall; "
                    "that is not allowed.",
                )
        self._permit_ways_out(container, allow, target.provider, exchange)
        return target

    def _permit_ways_out(self, container: Container, allow: Allow, provider: str, exchange: Exchange) -> None:
        for tool in exchange.hosted_tools:
            if tool.type not in allow.hosted_tools:
                raise Fault(
                    "request.hosted_tool_refused",
                    f"The tool type {quoted(tool.type)} runs at the provider, outside the wall, and is not allowed.",
                )
        for kind in exchange.unknown_tools:
            if kind not in allow.hosted_tools:
                raise Fault("request.unknown_tool_refused", f"The tool type {quoted(kind)} is not known here.")
        if exchange.fetches and not allow.url_fetches:
            raise Fault(
                "request.fetch_refused",
                f"The provider would fetch the URL in {exchange.fetches[0].field}, outside the wall; "
                "that is not allowed.",
            )
        for resource in exchange.resources:
            if not self._owns(container, provider, resource):
                raise _not_found(resource)

    def _owns(self, container: Container, provider: str, resource: str) -> bool:
        return self.owners.owner(provider, resource) == container.uuid


def _not_found(resource: str) -> Fault:
    return Fault("resource.not_found", f"There is no object {quoted(resource)}.")


def _reaches(models: tuple[str, ...], provider: str) -> bool:
    """Whether one of the patterns fits some model of the provider."""
    start = f"{provider}/"
    return any(
        pattern.startswith(start) or (pattern.endswith("*") and start.startswith(pattern[:-1])) for pattern in models
    )
