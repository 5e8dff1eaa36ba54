"""An answer of a form, by LangChain's package that is named: as JSON of a schema, and as a tool that has to be called."""

import json
import sys

from pydantic import BaseModel


class Place(BaseModel):
    """A place."""

    city: str


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


schema = chat("scripted/echo").with_structured_output(Place, method="json_schema").invoke('{"city": "Gaillimh"}')
called = (
    chat("scripted/agent")
    .with_structured_output(Place, method="function_calling")
    .invoke('call Place with {"city": "Gaillimh"}')
)
print(json.dumps({"schema": schema.city, "called": called.city}))
