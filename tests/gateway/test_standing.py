"""The rights of a container that was made for a task of another are looked up by that one's name."""

from __future__ import annotations

import pytest

from bawn.errors import Fault
from bawn.gateway.catalogue import Catalogue
from bawn.gateway.owners import ResourceOwners
from bawn.gateway.permissions import Permissions
from bawn.gateway.settings import Allow, Models, Provider
from bawn.store import Store
from bawn.terms.principal import Container

CHILD, OTHER = Container("uuid-8", 8, "task-1", "default"), Container("uuid-9", 9, "other", "default")


@pytest.fixture
def permissions() -> Permissions:
    provider = Provider.model_validate({"kind": "openai", "models": ["cheap", "dear"]})
    names = {CHILD.uuid: "dev"}
    return Permissions(
        Catalogue({"p": provider}, Models(default="p/cheap")),
        Allow(models=("p/*",)),
        {"dev": Allow(models=("p/cheap",))},
        ResourceOwners(Store.__new__(Store)),
        lambda container: names.get(container.uuid, container.name),
    )


def test_a_container_of_a_task_may_what_the_one_that_asked_may_and_no_more(permissions: Permissions) -> None:
    assert [target.name for target in permissions.visible(CHILD)] == ["p/cheap"]
    assert [target.name for target in permissions.visible(OTHER)] == ["p/cheap", "p/dear"]


def test_a_model_is_permitted_by_name_before_there_is_a_container(permissions: Permissions) -> None:
    assert permissions.permit_model("dev", "").name == "p/cheap"
    assert permissions.permit_model("", "p/dear").name == "p/dear"
    for name, model in (("dev", "p/dear"), ("", "q/cheap")):
        with pytest.raises(Fault) as caught:
            permissions.permit_model(name, model)
        assert caught.value.code == "request.unknown_model"
