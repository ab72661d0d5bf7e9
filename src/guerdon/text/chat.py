"""A chat through the chat template of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guerdon.errors import DataError
from guerdon.text.messages import messages_to_dicts
from guerdon.types import Message


def render_chat(tokenizer: Any, turns: Sequence[Message], *, whose: str, answering: bool = False) -> str:
    """A chat as the model was taught to read it, special tokens written out.

    Args:
        tokenizer: one that has a chat template.
        turns: the chat.
        whose: the model, for the message of the error.
        answering: open the assistant's turn at the end.

    Raises:
        DataError: the template refuses these roles.
    """
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(messages_to_dicts(turns), tokenize=False, add_generation_prompt=answering)
        )
    except TemplateError as error:
        roles = ", ".join(turn.role for turn in turns)
        raise DataError(
            f"{whose}'s chat template refuses a chat with the turns {roles}: {error}. Fix: change the roles, or choose "
            f"{whose.replace('the', 'a', 1)} whose template has them"
        ) from error
