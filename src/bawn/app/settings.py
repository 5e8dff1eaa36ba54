"""The whole of `bawn.yaml`: the sections that the rooms own, put together.

A profile is a file of the same form that ships with Bawn; what the operator's own file says replaces what
the profile says, key by key in the maps and whole in everything else. Without a profile and without
anything configured, nothing is allowed.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from bawn.api.settings import Api
from bawn.app.egress_rules import sound
from bawn.approvals.settings import Approvals
from bawn.audit.settings import Audit
from bawn.config.load import load
from bawn.config.section import Section
from bawn.egress.settings import Egress
from bawn.enforcement.settings import Rules
from bawn.errors import Fault, quoted
from bawn.gateway.catalogue import Catalogue
from bawn.gateway.failover_settings import Failover
from bawn.gateway.providers import address_of
from bawn.gateway.settings import Allow, Interception, Limits, Models, Provider, Timeouts
from bawn.guardrails.settings import Guardrails
from bawn.notify.settings import Notify
from bawn.packages.settings import Packages
from bawn.rules.model import Mitm
from bawn.scripts.settings import Scripts
from bawn.tasks.settings import Tasks
from bawn.transforms.building import configured as configured_stages
from bawn.transforms.building import models as models_of
from bawn.transforms.building import order_of
from bawn.transforms.settings import Transforms

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Profile(StrEnum):
    NONE = "none"
    STARTER = "starter"


class Runtime(StrEnum):
    PODMAN = "podman"
    BUBBLEWRAP = "bubblewrap"
    RUNSC = "runsc"


class Isolation(StrEnum):
    STANDARD = "standard"
    STRONG = "strong"


class BoxLimits(Section):
    """How much of the machine a container may take. What is set here must hold: where it cannot, the start is refused."""

    pids: int | None = Field(default=None, ge=16, le=32768, description="Processes; empty: 512.")
    memory_bytes: int | None = Field(
        default=None, ge=32 << 20, description="Memory with all scratch folders; empty: 4 GiB, where that can be held."
    )
    cpus: float | None = Field(default=None, ge=0.05, le=4096, description="Processors' time; empty: as there is.")
    scratch_bytes: int | None = Field(
        default=None, ge=1 << 20, description="/tmp, /dev/shm and the home, each; empty: 2 GiB."
    )

    def asked(self) -> dict[str, int | float]:
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Boxes(Section):
    """What a container is made with when nothing else is said."""

    runtime: Runtime | None = Field(default=None, description="Empty: podman where it works, else bubblewrap.")
    isolation: Isolation = Field(
        default=Isolation.STANDARD, description="`strong`: each container has a kernel of its own (gVisor, runsc)."
    )
    image: str = Field(default="agent", description="The image that `bawn images build` makes, or `host`.")
    limits: BoxLimits = Field(default_factory=BoxLimits)
    allow_soft_limits: bool = Field(
        default=False, description="Whether containers start though a limit cannot be held; the status then says so."
    )

    @model_validator(mode="after")
    def _one_isolation(self) -> Boxes:
        if self.isolation is Isolation.STRONG and self.runtime not in (None, Runtime.RUNSC):
            raise ValueError("strong isolation is that of runsc; leave `runtime` out")
        return self


class Configuration(Section):
    """Everything that can be configured."""

    profile: Profile = Field(default=Profile.NONE, description="A shipped configuration to begin from.")
    providers: dict[Name, Provider] = Field(default_factory=dict, description="Where models are called.")
    models: Models = Field(default_factory=Models)
    allow: Allow = Field(default_factory=Allow, description="What every container may ask for.")
    containers: dict[Name, Allow] = Field(
        default_factory=dict, description="What single containers may ask for instead, by name."
    )
    limits: Limits = Field(default_factory=Limits)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    failover: Failover = Field(default_factory=Failover)
    interception: Interception = Field(default_factory=Interception)
    scripts: Scripts = Field(default_factory=Scripts)
    guardrails: Guardrails = Field(default_factory=Guardrails)
    transforms: Transforms = Field(
        default_factory=Transforms, description="Ready-made steps between agents and models; see docs/transforms.md."
    )
    stages: tuple[str, ...] | None = Field(
        default=None, description="The order of the steps that requests pass, by name; empty: as documented."
    )
    mitm: Mitm = Field(default_factory=Mitm, description="Rules: what follows from what happens in conversations.")
    rules: Rules = Field(default_factory=Rules)
    egress: Egress = Field(default_factory=Egress)
    packages: Packages = Field(default_factory=Packages)
    audit: Audit = Field(default_factory=Audit)
    api: Api = Field(default_factory=Api)
    boxes: Boxes = Field(default_factory=Boxes)
    approvals: Approvals = Field(default_factory=Approvals)
    notify: Notify = Field(default_factory=Notify)
    tasks: Tasks = Field(default_factory=Tasks)

    @model_validator(mode="after")
    def _on_host(self) -> Self:
        if not self.rules.host_user and (wrong := list(self.mitm.on_host())):
            raise ValidationError.from_exception_data(
                "mitm", [{**each, "loc": ("mitm", *each["loc"])} for each in wrong]
            )
        return self


def configured(text: str, name: str) -> Configuration:
    """The file with its profile beneath. Fault `config.invalid` names every wrong line."""
    return _sound(_with_profile(load(text, name, Configuration)), name)


def _sound(configuration: Configuration, name: str) -> Configuration:
    """Refuse what fits each key by itself and points at nothing."""
    for provider, said in configuration.providers.items():
        address_of(provider, said, "")
    sound(configuration.egress)
    _sound_chains(configuration, name)
    targets = {"models.default": configuration.models.default or ""}
    targets |= {f"models.aliases.{alias}": target for alias, target in configuration.models.aliases.items()}
    for path, target in targets.items():
        provider, slash, _ = target.partition("/")
        alias = path == "models.default" and target in configuration.models.aliases
        if target and not alias and (not slash or provider not in configuration.providers):
            raise Fault("config.invalid", f"{name}: {path}: {quoted(target)} names no configured provider/model.")
    made = (RULES, SCRIPTS, *configured_stages(configuration.transforms))
    order = order_of(made, with_ours(configuration.stages))
    early = next((each for each in order[: order.index(SCRIPTS)] if each in _ANSWERING), None)
    if early is not None and configuration.scripts.required:
        raise Fault(
            "config.invalid",
            f"{name}: stages: {quoted(early)} would answer before the scripts that `scripts.required` names.",
            remedy="Put it behind `scripts`.",
        )
    for path, target in models_of(configuration.transforms).items():
        if target not in configuration.models.aliases and target.partition("/")[0] not in configuration.providers:
            raise Fault(
                "config.invalid",
                f"{name}: transforms.{path}: {quoted(target)} names no configured provider/model or alias.",
            )
    return configuration


RULES, SCRIPTS = "rules", "scripts"
_ANSWERING = frozenset(("cache", "semantic"))
"""Steps that may answer by themselves."""


def with_ours(order: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The configured order, rules and then scripts first where it does not name them: rules see what the agent sends, and what
    scripts ask for passes all other steps."""
    return order if order is None else (*(name for name in (RULES, SCRIPTS) if name not in order), *order)


def _sound_chains(configuration: Configuration, name: str) -> None:
    catalogue = Catalogue(configuration.providers, configuration.models)
    for model, targets in configuration.failover.chains.items():
        for target in targets:
            try:
                catalogue.resolve(target)
            except Fault:
                path = f"failover.chains.{model}"
                raise Fault(
                    "config.invalid", f"{name}: {path}: {quoted(target)} names no configured provider/model."
                ) from None


def _with_profile(own: Configuration) -> Configuration:
    if own.profile is Profile.NONE:
        return own
    shipped = resources.files("bawn.app").joinpath("profiles", f"{own.profile.value}.yaml").read_text("utf-8")
    base = load(shipped, f"{own.profile.value}.yaml", Configuration)
    said = own.model_fields_set
    return Configuration(
        profile=own.profile,
        providers={**base.providers, **own.providers},
        models=Models(
            default=own.models.default if own.models.default is not None else base.models.default,
            aliases={**base.models.aliases, **own.models.aliases},
        ),
        allow=own.allow if "allow" in said else base.allow,
        containers={**base.containers, **own.containers},
        limits=own.limits,
        timeouts=own.timeouts,
        failover=own.failover,
        interception=own.interception,
        scripts=own.scripts,
        guardrails=own.guardrails,
        transforms=own.transforms,
        stages=own.stages,
        mitm=own.mitm,
        rules=own.rules,
        egress=own.egress if "egress" in said else base.egress,
        packages=own.packages,
        audit=own.audit,
        api=own.api,
        boxes=own.boxes,
        approvals=own.approvals,
        notify=own.notify,
        tasks=own.tasks,
    )
