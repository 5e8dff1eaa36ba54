"""Packages that programs call models with, at a provider of each kind: a text whole and streamed, and a tool's turn."""

from __future__ import annotations

import shutil

import pytest
from tests.clients.conftest import PROGRAMS, At, installed

from bawn.gateway.settings import ProviderKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = (ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, ProviderKind.GEMINI)
PACKAGES = {
    "openai chat": ("openai", "openai_chat.py"),
    "openai responses": ("openai", "openai_responses.py"),
    "anthropic": ("anthropic", "anthropic_messages.py"),
    "google-genai": ("google-genai", "google_genai.py"),
    "langchain-openai": ("langchain", "langchain_any.py", "openai"),
    "langchain-openai responses": ("langchain", "langchain_any.py", "responses"),
    "langchain-anthropic": ("langchain", "langchain_any.py", "anthropic"),
    "langchain-google-genai": ("langchain", "langchain_any.py", "google"),
    "llama-index openai-like": ("llamaindex", "llamaindex_any.py", "openai"),
    "llama-index responses": ("llamaindex", "llamaindex_any.py", "responses"),
    "llama-index anthropic": ("llamaindex", "llamaindex_any.py", "anthropic"),
    "pydantic-ai openai": ("pydantic-ai", "pydantic_ai_any.py", "openai"),
    "pydantic-ai responses": ("pydantic-ai", "pydantic_ai_any.py", "responses"),
    "pydantic-ai anthropic": ("pydantic-ai", "pydantic_ai_any.py", "anthropic"),
    "pydantic-ai google": ("pydantic-ai", "pydantic_ai_any.py", "google"),
    "litellm openai": ("litellm", "litellm_any.py", "openai"),
    "litellm anthropic": ("litellm", "litellm_any.py", "anthropic"),
    "litellm gemini": ("litellm", "litellm_any.py", "gemini"),
    "openai-ts chat": ("openai-ts", "openai_both.mjs", "chat"),
    "openai-ts responses": ("openai-ts", "openai_both.mjs", "responses"),
    "anthropic-ts": ("anthropic-ts", "anthropic_messages.mjs"),
    "google-genai-ts": ("google-genai-ts", "google_genai.mjs"),
}
RAIN = "rain in Gaillimh"
IN_AN_OBJECT = (f'{{"return_value":"{RAIN}"}}', f'{{"content":"{RAIN}"}}')
BY_GEMINI = ("google", "gemini")


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_a_package_gets_texts_and_uses_a_tool(at: At, kind: ProviderKind, package: str) -> None:
    name, program, *words = PACKAGES[package]
    folder = installed(name)
    ground = await at(kind)
    if any(word in package for word in BY_GEMINI) and not await ground.has_gemini():
        pytest.skip("this door has no paths for Gemini's clients")
    if program.endswith(".mjs"):
        # A module is looked for beside the program that imports it.
        beside = folder / program
        shutil.copy(PROGRAMS / program, beside)
        argv = ["node", str(beside), *words]
    else:
        argv = [str(folder / "bin" / "python"), str(PROGRAMS / program), *words]
    found = await ground.found(argv)
    assert found["whole"] == found["streamed"] == "Dia duit, a chara"
    # Some tell Gemini an object that they put the result into; elsewhere that is the text of the result.
    assert found["tool"].removeprefix("The tool weather said: ") in (RAIN, *IN_AN_OBJECT)


@pytest.mark.parametrize("package", ["openai", "responses", "anthropic", "google"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_a_package_gets_an_object_of_a_form(at: At, kind: ProviderKind, package: str) -> None:
    folder = installed("langchain")
    ground = await at(kind)
    if package == "google" and not await ground.has_gemini():
        pytest.skip("this door has no paths for Gemini's clients")
    found = await ground.found([str(folder / "bin" / "python"), str(PROGRAMS / "objects.py"), package])
    assert found == {"schema": "Gaillimh", "called": "Gaillimh"}
