"""LlamaIndex by the package that is named: `openai`, `responses` or `anthropic`."""

import json
import os
import sys

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool

HELLO = [ChatMessage(role=MessageRole.USER, content="Dia duit, a chara")]


def chat(model):
    """A model of the package that the first argument names. LlamaIndex knows models by their names, so it is told
    what ours can do, or, where it cannot be told, ours have names of Claude's. It takes the address as an argument."""
    match sys.argv[1]:
        case "openai":
            from llama_index.llms.openai_like import OpenAILike

            return OpenAILike(
                model=model,
                api_base=os.environ["OPENAI_BASE_URL"],
                api_key=os.environ["OPENAI_API_KEY"],
                is_chat_model=True,
                is_function_calling_model=True,
                max_retries=0,
            )
        case "responses":
            from llama_index.llms.openai import OpenAIResponses

            return OpenAIResponses(
                model=model, api_base=os.environ["OPENAI_BASE_URL"], context_window=100_000, max_retries=0
            )
        case _:
            from llama_index.llms.anthropic import Anthropic

            known = {"scripted/echo": "claude-haiku-4-5", "scripted/agent": "claude-sonnet-4-5"}
            return Anthropic(model=known[model], base_url=os.environ["ANTHROPIC_BASE_URL"], max_retries=0)


def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


whole = chat("scripted/echo").chat(HELLO).message.content
streamed = "".join(piece.delta or "" for piece in chat("scripted/echo").stream_chat(HELLO))
agent = chat("scripted/agent")
tools = [FunctionTool.from_defaults(weather)]
asked = ChatMessage(role=MessageRole.USER, content='call weather with {"city": "Gaillimh"}')
first = agent.chat_with_tools(tools, chat_history=[asked])
[call] = agent.get_tool_calls_from_response(first)
result = ChatMessage(
    role=MessageRole.TOOL, content=weather(**call.tool_kwargs), additional_kwargs={"tool_call_id": call.tool_id}
)
last = agent.chat_with_tools(tools, chat_history=[asked, first.message, result])
print(json.dumps({"whole": whole, "streamed": streamed, "tool": last.message.content}))
