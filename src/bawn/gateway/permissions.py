"""What the calls of a container may ask a provider for.

"No route" is only half of "no egress": a provider that searches the web, runs code or fetches a URL on
request is a way out as well. So all of that is refused unless the operator allowed it for the container,
and what this version does not know counts as not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from bawn.errors import Fault, quoted
from bawn.gateway.catalogue import Catalogue, Target, matches
from bawn.gateway.settings import Allow
from bawn.terms.exchange import Exchange
from bawn.terms.principal import Container


class Owners(Protocol):
    """Who made which provider-side object (file, response, batch)."""

    def owner(self, provider: str, resource: str) -> str | None:
        """The uuid of the container that made it, or None when no record says so."""

    async def claim(self, provider: str, resource: str, kind: str, container_uuid: str, now: datetime) -> None:
        """Write down who made an object."""


class Permissions:
    """A snapshot of what is allowed; replaced as a whole on reload."""

    def __init__(self, catalogue: Catalogue, everyone: Allow, containers: Mapping[str, Allow], owners: Owners) -> None:
        self._catalogue = catalogue
        self._everyone = everyone
        self._containers = containers
        self._owners = owners

    def of(self, container: Container) -> Allow:
        """The container's own block if it has one (whole, not merged), else that of everyone."""
        return self._containers.get(container.name, self._everyone)

    def visible(self, container: Container) -> list[Target]:
        """The listed models that the container may use."""
        allow = self.of(container)
        return [target for target in self._catalogue.names() if matches(allow.models, target.name)]

    async def made(self, container: Container, target: Target, resource: str, now: datetime) -> None:
        """The container made an object at the provider, and may name it from now on. One that is its own already stays."""
        if self._owners.owner(target.provider, resource) is None:
            await self._owners.claim(target.provider, resource, "response", container.uuid, now)

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
            if self._owners.owner(target.provider, resource) != container.uuid:
                raise Fault("resource.not_found", f"There is no object {quoted(resource)}.")
        return target
