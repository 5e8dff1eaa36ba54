"""What the operator may say about ready-made steps between an agent and its model: a section each, absent is off."""

from __future__ import annotations

from pydantic import Field

from bawn.config.section import Section
from bawn.transforms.alert import Alert
from bawn.transforms.cache import Cache
from bawn.transforms.compress import Compress
from bawn.transforms.context import Context
from bawn.transforms.dedupe import Dedupe
from bawn.transforms.enhance import Enhance
from bawn.transforms.log import Log
from bawn.transforms.quota import Quota
from bawn.transforms.route import Route
from bawn.transforms.semantic import Semantic
from bawn.transforms.tool_settings import Tools


class Transforms(Section):
    """Each is on when its section is there."""

    quota: Quota | None = Field(default=None, description="Tokens, cost and models, by customer or container.")
    log: Log | None = Field(default=None, description="Requests and answers in files, without secrets.")
    alert: Alert | None = Field(default=None, description="Notices when a call passes a threshold.")
    route: Route | None = Field(default=None, description="Which model answers.")
    context: Context | None = Field(default=None, description="Passages of knowledge bases beside what is asked.")
    dedupe: Dedupe | None = Field(default=None, description="Repeated contents as references to the latest copy.")
    compress: Compress | None = Field(default=None, description="Prose of the user in fewer words.")
    cache: Cache | None = Field(default=None, description="Equal questions answered from memory.")
    semantic: Semantic | None = Field(default=None, description="Questions of the same meaning answered from memory.")
    enhance: Enhance | None = Field(default=None, description="An explanation by a second model behind code.")
    tools: Tools | None = Field(default=None, description="Which tool calls pass, and in which form.")
