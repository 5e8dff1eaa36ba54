"""Values of brokered credentials: kept in the vault beside the providers' keys, under names that no provider has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bawn.api.services import Recorder
from bawn.egress.credentials import placeholder
from bawn.egress.settings import Credential, Egress
from bawn.errors import Fault, quoted
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label
from bawn.vault.vault import CREDENTIAL, Vault


class Credentials:
    """Fulfils `api.services.Credentials`."""

    def __init__(
        self,
        vault: Vault,
        settings: Callable[[], Egress],
        registry: Registry,
        recorder: Recorder,
    ) -> None:
        self._vault = vault
        self._settings = settings
        self._registry = registry
        self._recorder = recorder
        self.on_change: Callable[[], None] = lambda: None
        """Told when a value came or went."""

    def list(self) -> Sequence[shapes.Credential]:
        known = {info.provider: info.fingerprint for info in self._vault.list()}
        return [
            self._shown(name, credential, known.get(CREDENTIAL + name, ""))
            for name, credential in self._settings().credentials.items()
        ]

    def value(self, name: str) -> str | None:
        """The value itself, for the proxy; None when there is none that can be opened."""
        try:
            secret = self._vault.secret_for(CREDENTIAL + name)
        except Fault:
            return None
        return secret.reveal() if secret is not None else None

    async def put(self, name: str, secret: str, by: Operator) -> shapes.Credential:
        credential = self._settings().credentials.get(name)
        if credential is None:
            raise Fault(
                "api.not_found",
                f"The configuration has no credential {quoted(name)}.",
                remedy="Describe it under `egress.credentials` first: its host, and where it is sent.",
            )
        provider = CREDENTIAL + name
        if any(info.provider == provider for info in self._vault.list()):
            info = await self._vault.rotate(provider, secret)
        else:
            info = await self._vault.add(provider, secret)
        await self._record("credential.kept", name, info.fingerprint, by)
        self.on_change()
        return self._shown(name, credential, info.fingerprint)

    async def remove(self, name: str, by: Operator) -> None:
        await self._vault.remove(CREDENTIAL + name)
        self.on_change()
        await self._record("credential.forgotten", name, "", by)

    def environment(self, record: Record) -> dict[str, str]:
        """Placeholders, by the variables in which the programs of a container find them."""
        return {
            f"BAWN_CREDENTIAL_{name.upper().replace('-', '_')}": placeholder(record.uuid, name)
            for name, credential in self._settings().credentials.items()
            if record.name in credential.containers
        }

    def _shown(self, name: str, credential: Credential, fingerprint: str) -> shapes.Credential:
        place = f"header {credential.header}" if credential.header is not None else f"query {credential.query}"
        return shapes.Credential(
            name=name,
            host=credential.host,
            place=place,
            containers=credential.containers,
            fingerprint=fingerprint,
            placeholders={
                record.name: placeholder(record.uuid, name)
                for record in self._registry.list()
                if record.name in credential.containers
            },
        )

    async def _record(self, event: str, name: str, fingerprint: str, by: Operator) -> None:
        facts = (("credential", name), ("fingerprint", fingerprint))
        await self._recorder.record(Event(event=event, principal=label(by), detail=facts))
