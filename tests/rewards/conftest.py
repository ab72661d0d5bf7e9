"""Texts that are hard on batching: several responses to a prompt, very different lengths, two languages, chats."""

from __future__ import annotations

import pytest

from guerdon.types import Message, Prompt


@pytest.fixture(autouse=True)
def _own_contract_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contracts that are inferred for models of other origin stay out of the user's cache."""
    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def texts() -> tuple[list[Prompt], list[str]]:
    """Prompts and responses, parallel."""
    chat = (
        Message("user", "Which is the largest planet?"),
        Message("assistant", "I am not sure."),
        Message("user", "Think about it again, please; it is not the sun."),
    )
    by_prompt: dict[Prompt, list[str]] = {
        "How do I boil an egg?": [
            "Put it into boiling water for eight minutes, then cool it with cold water.",
            "Put it into boiling water.",
            "I do not know.",
            "",
        ],
        chat: ["Jupiter.", "Jupiter is the largest planet of the solar system, and it is larger than the others."],
        "怎样煮鸡蛋？": ["把鸡蛋放进开水里煮八分钟，然后用冷水冷却。", "对不起，我不知道。"],
        "Write a function that adds two numbers.": ["def add(a, b): return a + b"],
        "": ["An answer to nothing."],
    }
    pairs = [(prompt, response) for prompt, responses in by_prompt.items() for response in responses]
    return [prompt for prompt, _ in pairs], [response for _, response in pairs]
