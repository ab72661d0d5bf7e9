"""A scorer of the user's own, `module:object`: an object, a class, a maker, or a function as other trainers take it.

| parameters | as | asked with |
|---|---|---|
| `prompts, responses` (and `references`) | a plain function | all texts at once |
| `prompt, response` (and `reference`), or `response` | a plain function | one text at a time |
| `completions` (and `prompts`, columns) | TRL's `reward_funcs` | all texts, as messages where prompts are |
| `solution_str` (`data_source`, `ground_truth`, `extra_info`) | verl's `compute_score` | one text at a time |
| `solution_strs` | verl's batched `compute_score` | all texts at once |
| `queries, prompts` (and `labels`) | OpenRLHF's `reward_func` | all texts at once |
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from guerdon.errors import GuerdonError, ModelError
from guerdon.rewards.scoring import remember_name
from guerdon.text.messages import messages_to_dicts, prompt_turns
from guerdon.types import Comparer, Message, Prompt, Prompts, References, Responses, Scorer, prompt_text

_REFERENCE = frozenset(
    f"{name}{s}" for name in ("reference", "ground_truth", "answer", "solution", "label", "target") for s in ("", "s")
)
"""What trainers call the column that a response is checked against."""
_NOT_KNOWN = ("completion_ids", "prompt_ids", "completions_ids")
"""Parameters that only a trainer has."""


class FunctionScorer:
    """A function as a `Scorer`."""

    is_function = True
    """For messages: its values come from the function itself, and not from a method of it."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Reads the function's parameters. Raises ModelError where they are none that are known."""
        self.function, self.name = function, name
        parameters = inspect.signature(function).parameters.values()
        taken = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        self._names = {one.name for one in taken}
        self._any = any(one.kind == one.VAR_KEYWORD for one in parameters)
        self._given = self._style([one.name for one in taken if one.default is one.empty])

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Any:
        """What the function gives, one value a response; None counts as no reward."""
        return self._given(prompts, responses, references)

    def _style(self, needed: Sequence[str]) -> Callable[..., Any]:
        """How it is asked."""
        styles: dict[str, tuple[Callable[..., Any], set[str]]] = {
            "solution_str": (self._verl, {"data_source", "extra_info"}),
            "solution_strs": (self._verl_batch, {"data_sources", "extra_infos"}),
            "queries": (self._openrlhf, {"prompts"}),
            "completions": (self._trl, {"prompts"}),
            "responses": (self._plain, {"prompts"}),
            "response": (self._one_by_one, {"prompt"}),
        }
        for name, (style, known) in styles.items():
            if name in self._names:
                if unknown := [one for one in needed if one not in {name} | known | _REFERENCE]:
                    hint = " (token ids are known to a trainer alone)" if set(unknown) & set(_NOT_KNOWN) else ""
                    raise ModelError(
                        f"{self.name} needs {', '.join(map(repr, unknown))}, which Guerdon does not have{hint}. Fix: "
                        "give the parameter a default; a reference (answer, ground truth) may be called "
                        f"{', '.join(sorted(_REFERENCE))}"
                    )
                return style
        raise ModelError(
            f"{self.name} is a function of ({', '.join(needed)}), and Guerdon does not know how to ask it. Fix: name "
            "its parameters prompts, responses (and references) for all texts at once, prompt, response (and "
            "reference) for one; or as TRL (prompts, completions), verl (data_source, solution_str, ground_truth) or "
            "OpenRLHF (queries, prompts, labels) have them"
        )

    def _call(self, values: Mapping[str, Any], references: Any) -> Any:
        """Calls the function with those of the values that it takes; the reference under whatever name it has."""
        given = {name: value for name, value in values.items() if name in self._names or self._any}
        given |= {name: references for name in self._names & _REFERENCE if name not in given}
        found = self.function(**given)
        if inspect.iscoroutine(found):
            import asyncio

            found = asyncio.run(found)
        return found

    def _plain(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        return self._call({"prompts": list(prompts), "responses": list(responses)}, references)

    def _one_by_one(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        return [
            _number(self._call({"prompt": prompt, "response": response}, reference))
            for prompt, response, reference in zip(prompts, responses, _each(references, responses), strict=True)
        ]

    def _trl(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        shared = _each(references, responses)
        if all(isinstance(prompt, str) for prompt in prompts):
            values: dict[str, Any] = {"prompts": list(prompts), "completions": list(responses)}
            try:
                return self._call(values, shared)
            except (TypeError, KeyError, IndexError, AttributeError) as error:
                # Written for chats: it reads completion[0]["content"], which no string has.
                try:
                    return self._call(_chats(prompts, responses), shared)
                except Exception:
                    raise error from None
        return self._call(_chats(prompts, responses), shared)

    def _verl(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        return [
            _number(
                self._call(
                    {"data_source": "guerdon", "solution_str": response, "extra_info": _extra(prompt)},
                    "" if reference is None else reference,
                )
            )
            for prompt, response, reference in zip(prompts, responses, _each(references, responses), strict=True)
        ]

    def _verl_batch(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        values = {
            "data_sources": ["guerdon"] * len(responses),
            "solution_strs": list(responses),
            "extra_infos": [_extra(prompt) for prompt in prompts],
        }
        found = self._call(values, ["" if one is None else one for one in _each(references, responses)])
        return [_number(one) for one in found] if isinstance(found, list | tuple) else found

    def _openrlhf(self, prompts: Prompts, responses: Responses, references: References) -> Any:
        texts = [prompt_text(prompt) for prompt in prompts]
        queries = [text + response for text, response in zip(texts, responses, strict=True)]
        found = self._call({"queries": queries, "prompts": texts}, _each(references, responses))
        return found.get("rewards", found.get("scores")) if isinstance(found, Mapping) else found


def user_object(spec: str) -> object:
    """The scorer or comparer that `module:object` names; modules of the current folder are found.

    A class or a function without parameters makes one; other functions are taken as the table above says.

    Raises:
        ModelError: it cannot be imported or made, or it gives no rewards.
    """
    found = _imported(spec)
    try:
        if isinstance(found, type) or (callable(found) and not _gives_rewards(found) and not _needs(found)):
            found = found()
    except GuerdonError:
        raise
    except (Exception, SystemExit) as error:  # it is the user's code
        raise ModelError(f"{spec} cannot be made: {type(error).__name__}: {error}") from error
    if isinstance(found, Scorer) and not _takes_references(score := found.score):
        return FunctionScorer(lambda prompts, responses: score(prompts, responses), spec)
    if not _gives_rewards(found) and callable(found):
        return FunctionScorer(found, spec)
    remember_name(found, spec)
    return found


def _imported(spec: str) -> object:
    """The object itself."""
    module_name, _, attribute = spec.partition(":")
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # as Python's -m does
    try:
        module = importlib.import_module(module_name)
    except GuerdonError:
        raise
    except (Exception, SystemExit) as error:  # it is the user's code
        raise ModelError(f"cannot import {spec!r} as a scorer: {type(error).__name__}: {error}") from error
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            own = [name for name, value in vars(module).items() if not name.startswith("_") and _is_of(value, module)]
            raise ModelError(
                f"cannot import {spec!r} as a scorer: {module_name} has no {attribute!r}; it has "
                f"{', '.join(own[:12]) or 'nothing that is public'}"
            )
        found = getattr(found, name)
    return found


def _is_of(value: object, module: object) -> bool:
    """Whether a module is where a value is from, and no import of it."""
    name = getattr(module, "__name__", "")
    return getattr(value, "__module__", name) == name and not inspect.ismodule(value)


def _gives_rewards(found: object) -> bool:
    return isinstance(found, Scorer | Comparer)


def _needs(found: object) -> bool:
    """Whether something must be handed to a callable."""
    try:
        parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    texts = {"responses", "response", "completions", "queries", "solution_str", "solution_strs"}
    return any((one.default is one.empty and one.kind not in kinds) or one.name in texts for one in parameters)


def _takes_references(method: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == "references" or one.kind == one.VAR_KEYWORD for one in parameters)


def _each(references: References, responses: Sequence[str]) -> Sequence[str | None]:
    return [None] * len(responses) if references is None else list(references)


def _extra(prompt: Prompt) -> dict[str, Any]:
    """Where verl's users keep the prompt."""
    text = prompt_text(prompt)
    return {"prompt": text, "question": text}


def _chats(prompts: Prompts, responses: Responses) -> dict[str, Any]:
    """Prompts and completions as TRL has them in chats."""
    return {
        "prompts": [messages_to_dicts(prompt_turns(prompt)) for prompt in prompts],
        "completions": [messages_to_dicts((Message("assistant", response),)) for response in responses],
    }


def _number(value: Any) -> Any:
    """The reward that a function gives for one text: itself, the score of verl's dictionary, or NaN for None."""
    if isinstance(value, Mapping):
        value = value.get("score", value.get("reward"))
    if value is None:
        return np.nan
    try:
        return value.item() if hasattr(value, "item") else value
    except (ValueError, RuntimeError):  # an array or a tensor of several
        return value
