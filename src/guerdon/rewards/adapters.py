"""Any scorer as the reward function of another trainer, in its process: TRL, verl and OpenRLHF.

Messages are read as data sets' are: the last turn, which must be the assistant's, is the response (tool calls and
reasoning written out), and turns before it belong to the prompt.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from guerdon.errors import ConfigError, DataError, ModelError
from guerdon.rewards.scoring import no_reward_summary, score_texts
from guerdon.text.messages import parse_messages, prompt_turns, response_text
from guerdon.types import Prompt, Rewards, Scorer

logger = logging.getLogger(__name__)


def trl_reward(
    scorer: Scorer, *, reference: str = "reference", name: str = "guerdon"
) -> Callable[..., list[float | None]]:
    """A `reward_funcs` entry of TRL's GRPOTrainer and RLOOTrainer.

    Args:
        scorer: any scorer.
        reference: column of the data set that holds what the scorer reads as references, where there is one.
        name: what TRL logs it as.

    Returns:
        `(prompts, completions, **columns) -> rewards`; None, which TRL leaves out, where there is no reward. The reason
        is logged.
    """

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        rewards = _score(scorer, prompts, completions, columns.get(reference))
        return [None if math.isnan(value) else value for value in rewards.values.tolist()]

    reward.__name__ = name
    return reward


def verl_compute_score(scorer: Scorer, *, missing: float | None = None) -> Callable[..., float]:
    """A `compute_score` of verl's `reward.custom_reward_function`.

    Args:
        scorer: any scorer; it reads `ground_truth` as the reference, and `extra_info["prompt"]` (or `"question"`) as
            the prompt, which verl does not pass on by itself.
        missing: the number to give where there is no reward: verl knows no missing value. None raises.

    Returns:
        `(data_source, solution_str, ground_truth, extra_info=None, **others) -> reward`.
    """

    def compute_score(
        data_source: str,
        solution_str: Any,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> float:
        given = extra_info or {}
        prompt = next((given[key] for key in ("prompt", "question") if given.get(key) is not None), None)
        if prompt is None:
            raise ConfigError(
                f"verl gave no prompt for a row of {data_source!r}. It keeps the prompt in the column that "
                'data.prompt_key ("prompt") names, and shows a reward function extra_info alone. Fix: when you prepare '
                'the data, write the prompt into extra_info["prompt"] as well'
            )
        rewards = _score(scorer, [prompt], [solution_str], [ground_truth])
        value = float(rewards.values[0])
        if not math.isnan(value):
            return value
        if missing is None:
            raise ModelError(
                f"no reward for {str(solution_str)[:60]!r} ({data_source}): {rewards.reasons[0]}. verl knows no "
                "missing reward. Fix: choose a number for it, verl_compute_score(scorer, missing=...)"
            )
        return missing

    return compute_score


def openrlhf_reward(
    scorer: Scorer, *, special: Sequence[str] = (), prompt_of: Callable[[str], Prompt] = str
) -> Callable[..., dict[str, Any]]:
    """The `reward_func` of a file that OpenRLHF's `--reward.remote_url` names.

    Args:
        scorer: any scorer; it reads `labels` as references.
        special: special tokens of the policy (`tokenizer.all_special_tokens`), which OpenRLHF leaves in the texts.
        prompt_of: gives the prompt that a text in the policy's template was made of.

    Returns:
        `(queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}`, tensors of shape (n,); a query is prompt
        and response. Where there is no reward, it stays NaN, `extra_logs["missing"]` is 1, and the reason is logged.
    """

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        responses = []
        for query, prompt in zip(queries, prompts, strict=True):
            response = query.removeprefix(prompt)
            for token in special:
                response = response.replace(token, "")
            responses.append(response.strip())
        found = _score(scorer, [prompt_of(prompt) for prompt in prompts], responses, labels)
        rewards = torch.from_numpy(found.values)
        return {"rewards": rewards, "scores": rewards, "extra_logs": {"missing": rewards.isnan().float()}}

    return reward_func


def _score(
    scorer: Scorer, prompts: Sequence[Any], completions: Sequence[Any], references: Sequence[Any] | None
) -> Rewards:
    """Scores texts or messages as a trainer has them; logs why some have no reward."""
    values, reasons = np.full(len(completions), np.nan, dtype=np.float32), [""] * len(completions)
    texts: dict[int, tuple[Prompt, str]] = {}
    for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        try:
            texts[place] = _texts(prompt, completion)
        except DataError as error:
            reasons[place] = str(error)
    places = list(texts)
    given = [None if references is None or references[place] is None else str(references[place]) for place in places]
    asked, said = [prompt for prompt, _ in texts.values()], [text for _, text in texts.values()]
    found = score_texts(scorer, asked, said, given)
    values[places] = found.values
    for place, reason in zip(places, found.reasons, strict=True):
        reasons[place] = reason
    rewards = Rewards(values, tuple(reasons))
    if summary := no_reward_summary(rewards):
        logger.warning("%s", summary)
    return rewards


def _texts(prompt: Any, completion: Any) -> tuple[Prompt, str]:
    """The prompt and the response of a completion; its turns before the last belong to the prompt.

    Raises:
        DataError: there is no text to score.
    """
    given: Prompt = prompt if isinstance(prompt, str) else parse_messages(prompt, "prompt")
    if isinstance(completion, str):
        return given, completion
    turns = parse_messages(completion, "completion")
    if not turns or turns[-1].role != "assistant":
        ends = f"ends with the turn of {turns[-1].role!r}" if turns else "is empty"
        raise DataError(f"the completion {ends}: there is no response to score")
    response, last = response_text(turns[-1:]), completion[-1]
    content = last.get("content") if isinstance(last, Mapping) else getattr(last, "content", None)
    if not response and content is None:
        raise DataError("the last turn of the completion has neither content nor tool calls")
    return (*prompt_turns(given), *turns[:-1]) if len(turns) > 1 else given, response
