"""LangChain by the package that is named: `openai`, `responses`, `anthropic` or `google`."""

import json
import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

HELLO = "Dia duit, a chara"


def chat(model):
    """A model of the package that the first argument names."""
    match sys.argv[1]:
        case "openai":
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(model=model, max_retries=0)
        case "responses":
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(model=model, max_retries=0, use_responses_api=True)
        case "anthropic":
            from langchain_anthropic import ChatAnthropic

            return ChatAnthropic(model=model, max_retries=0, max_tokens=1000)
        case _:
            from langchain_google_genai import ChatGoogleGenerativeAI

            return ChatGoogleGenerativeAI(model=model, max_retries=0)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


whole = chat("scripted/echo").invoke(HELLO).text
streamed = "".join(piece.text for piece in chat("scripted/echo").stream(HELLO))
agent = chat("scripted/agent").bind_tools([weather])
asked = HumanMessage('call weather with {"city": "Gaillimh"}')
first = agent.invoke([asked])
[call] = first.tool_calls
result = weather.invoke(call)
assert isinstance(result, ToolMessage)
last = agent.invoke([asked, first, result])
print(json.dumps({"whole": whole, "streamed": streamed, "tool": last.text}))
