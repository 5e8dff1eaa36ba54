"""Which betas reach the provider."""

from __future__ import annotations

import pytest

from bawn.terms.exchange import HostedTool
from bawn.wire.anthropic_betas import passed_betas


def test_what_agents_name_with_each_request_goes_on() -> None:
    value = b"claude-code-20250219,interleaved-thinking-2025-05-14, fine-grained-tool-streaming-2025-05-14"
    assert passed_betas(value, ()) == value.replace(b" ", b"")


@pytest.mark.parametrize(
    "beta",
    [b"web-fetch-2025-09-10", b"code-execution-2025-08-25", b"mcp-client-2025-11-20", b"files-api-2025-04-14",
     b"skills-2025-10-02", b"unheard-of-2030-01-01", b"claude-code-20250219-web-fetch", b"", b"\xff", b"x" * 5000],
)  # fmt: skip
def test_what_opens_a_way_out_or_is_not_known_is_left_out(beta: bytes) -> None:
    assert passed_betas(beta, ()) == b""
    assert passed_betas(b"effort-2025-11-24," + beta, ()) == b"effort-2025-11-24"


def test_a_beta_of_a_permitted_tool_goes_with_it_and_no_other() -> None:
    both = b"web-fetch-2025-09-10,code-execution-2025-08-25"
    assert passed_betas(both, (HostedTool("web_fetch_20250910"),)) == b"web-fetch-2025-09-10"
