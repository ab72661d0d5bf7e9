"""Any scorer as the reward function of another trainer, in its process: TRL, verl and OpenRLHF."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from guerdon.errors import ModelError
from guerdon.types import Message, Prompt, Scorer


def trl_reward(
    scorer: Scorer, *, reference: str = "reference", name: str = "guerdon"
) -> Callable[..., list[float | None]]:
    """A `reward_funcs` entry of TRL's GRPOTrainer and RLOOTrainer.

    Args:
        scorer: any scorer.
        reference: column of the data set that holds what the scorer reads as references, where there is one.
        name: what TRL logs it as.

    Returns:
        `(prompts, completions, **columns) -> rewards`; None, which TRL leaves out, where there is no reward.
    """

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        rewards = scorer.score(
            [_prompt(prompt) for prompt in prompts],
            [_said(completion) for completion in completions],
            references=columns.get(reference),
        )
        return [float(value) if math.isfinite(value) else None for value in rewards]

    reward.__name__ = name
    return reward


def verl_compute_score(scorer: Scorer, *, missing: float | None = None) -> Callable[..., float]:
    """A `compute_score` of verl's `custom_reward_function`.

    Args:
        scorer: any scorer; it reads `ground_truth` as the reference, and `extra_info["prompt"]` (or `"question"`) as
            the prompt, which verl does not pass on by itself.
        missing: what to say where there is no reward: verl knows no missing value. None raises.

    Returns:
        `(data_source, solution_str, ground_truth, extra_info=None) -> reward`.
    """

    def compute_score(
        data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None
    ) -> float:
        given = extra_info or {}
        prompt = given.get("prompt", given.get("question", ""))
        reference = None if ground_truth is None else str(ground_truth)
        value = float(scorer.score([_prompt(prompt)], [solution_str], references=[reference])[0])
        if math.isfinite(value):
            return value
        if missing is None:
            raise ModelError(
                f"no reward for {solution_str[:60]!r} ({data_source}), and verl knows no missing one. Fix: say what it "
                "is to be, verl_compute_score(scorer, missing=...)"
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
        prompt_of: from a prompt in the policy's template to what was asked.

    Returns:
        `(queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}`, tensors of shape (n,); a query is prompt
        and response. NaN stays NaN.
    """

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        said = []
        for query, prompt in zip(queries, prompts, strict=True):
            response = query.removeprefix(prompt)
            for token in special:
                response = response.replace(token, "")
            said.append(response.strip())
        references = [None if label is None else str(label) for label in labels]
        values = scorer.score([prompt_of(prompt) for prompt in prompts], said, references=references)
        rewards = torch.tensor(values, dtype=torch.float32)
        return {"rewards": rewards, "scores": rewards, "extra_logs": {"missing": rewards.isnan().float()}}

    return reward_func


def _prompt(given: Any) -> Prompt:
    """A prompt as text or as messages, from how trainers have them."""
    return given if isinstance(given, str) else tuple(Message(turn["role"], turn["content"]) for turn in given)


def _said(given: Any) -> str:
    """What the policy said last."""
    return given if isinstance(given, str) else str(given[-1]["content"] if given else "")
