"""Pydantic AI by the provider that is named: `openai`, `responses`, `anthropic` or `google`."""

import asyncio
import json
import sys

from pydantic_ai import Agent

PREFIX = {"openai": "openai-chat:", "responses": "openai-responses:", "anthropic": "anthropic:", "google": "google:"}
HELLO = "Dia duit, a chara"


async def main():
    """Asks whole, streamed, and with a function that the agent calls by itself."""
    prefix = PREFIX[sys.argv[1]]
    echo = Agent(f"{prefix}scripted/echo")
    agent = Agent(f"{prefix}scripted/agent")

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    whole = (await echo.run(HELLO)).output
    async with echo.run_stream(HELLO) as stream:
        streamed = await stream.get_output()
    tool = (await agent.run('call weather with {"city": "Gaillimh"}')).output
    print(json.dumps({"whole": whole, "streamed": streamed, "tool": tool}))


asyncio.run(main())
