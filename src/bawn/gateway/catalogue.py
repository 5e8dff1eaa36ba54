"""From the name a client uses to a provider and the name that provider uses.

Resolution, in order: no name or `default` → the configured default; an alias → its target; otherwise the
name must be `provider/model` with a configured provider. The client can choose among what is configured
and nothing else: never a host, never a path.
"""

from __future__ import annotations

from collections.abc import Mapping

from bawn.errors import Fault, quoted
from bawn.gateway.settings import Models, Provider
from bawn.terms.value import Value


class Target(Value, frozen=True):
    provider: str
    model: str
    """The provider's own name of the model."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


class Catalogue:
    """A snapshot of the configured models; replaced as a whole on reload."""

    def __init__(self, providers: Mapping[str, Provider], models: Models) -> None:
        self._providers = providers
        self._default = models.default
        self._exact = {name: to for name, to in models.aliases.items() if not name.endswith("*")}
        self._open = sorted(
            ((name[:-1], to) for name, to in models.aliases.items() if name.endswith("*")),
            key=lambda pair: -len(pair[0]),
        )

    def resolve(self, name: str) -> Target:
        """The provider and model meant by `name`, or Fault `request.unknown_model`."""
        wanted = self._unaliased(name)
        provider, slash, model = wanted.partition("/")
        if not slash or not model or provider not in self._providers:
            raise Fault("request.unknown_model", f"There is no model {quoted(name)} here.")
        return Target(provider, model)

    def _unaliased(self, name: str) -> str:
        if name in ("", "default"):
            if self._default is None:
                raise Fault("request.unknown_model", "The call names no model, and no default is configured.")
            name = self._default
        if name in self._exact:
            return self._exact[name]
        for start, to in self._open:
            if name.startswith(start):
                # On the right, `*` stands for the whole name, so that `claude-*: anthropic/*` passes names on.
                return to[:-1] + name if to.endswith("*") else to
        return name

    def names(self) -> list[Target]:
        """Everything that can be listed: the models the configuration names."""
        return [Target(name, model) for name, provider in self._providers.items() for model in provider.models]

    def aliases(self) -> dict[str, str]:
        return dict(self._exact)


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns (a trailing `*` is any ending) fits; no pattern fits nothing."""
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)
