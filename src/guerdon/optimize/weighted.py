"""Reward-weighted training: the likelihood of texts, weighted by what they are worth.

Every step samples answers from the policy as it is, asks the reward about them, and takes one step on

    - sum_i w_i log pi(y_i | x_i)

where the weights are those of the article's L(x) = L_MLE(x) - lambda R(x), of reward-weighted regression, or of RAFT:
`score_function_weights`, `exponential_weights`, `best_weights` in `guerdon.losses`, which says what lambda does. The
first also weighs the good answers of the data, by one over their number in the step.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from guerdon import losses
from guerdon.errors import ConfigError, TextError
from guerdon.files import check_writable
from guerdon.optimize.prompts import fingerprint_of, prompt_stream
from guerdon.optimize.weighted_config import WeightedConfig
from guerdon.packing import default_budget
from guerdon.policy.decode import Sampling
from guerdon.policy.logps import ResponseBatch, TokenizedGroup, response_batches
from guerdon.policy.model import Policy
from guerdon.policy.net import PolicyNet
from guerdon.rewards.scoring import score_texts
from guerdon.runs.callbacks import OnStep, run_callbacks
from guerdon.runs.folder import RUN_FOLDER, check_run, mark_run
from guerdon.runs.guard import MissingRewardGuard
from guerdon.runs.ranks import main_process_first
from guerdon.runs.trainer import Step, StepTrainer, checkpoint_steps, step_arguments
from guerdon.types import Candidates, Scorer


class WeightedPolicy(nn.Module):
    """What the optimiser sees: the policy and the weighted likelihood of a micro-batch."""

    def __init__(self, net: PolicyNet, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    @property
    def _no_split_modules(self) -> Any:
        """For FSDP."""
        return self.net._no_split_modules

    def forward(self, batch: ResponseBatch, weights: Tensor) -> tuple[Tensor, Tensor]:
        """- sum_i w_i log pi(y_i); `weights` has shape (answers,). No pairs are ordered."""
        logps = self.net(batch, self.temperature)
        return -(weights[batch["response"]] * logps).sum(), torch.zeros(2)


class PromptSteps(Dataset[Step]):
    """Which prompts each step asks; item i is the share of rank i % ranks of step i // ranks."""

    def __init__(self, prompts: int, config: WeightedConfig, ranks: int = 1) -> None:
        stream = prompt_stream(prompts, config.seed)
        steps = max(1, math.ceil(prompts * config.epochs / config.prompts_per_step))
        self._steps = [[next(stream) for _ in range(config.prompts_per_step)] for _ in range(steps)]
        self._ranks = ranks
        self.steps = steps

    def __len__(self) -> int:
        return len(self._steps) * self._ranks

    def __getitem__(self, index: int) -> Step:
        step = self._steps[index // self._ranks]
        return {"place": index, "prompts": step[index % self._ranks :: self._ranks]}


class WeightedTrainer(StepTrainer):
    """Samples the answers of a step, weighs them, and takes the step."""

    def __init__(
        self,
        model: WeightedPolicy,
        args: Any,
        steps: PromptSteps,
        *,
        policy: Policy,
        scorer: Scorer,
        requests: Sequence[Candidates],
        config: WeightedConfig,
        **options: Any,
    ) -> None:
        super().__init__(model, args, steps, **options)
        self._policy, self._scorer, self._requests, self._config = policy, scorer, requests, config
        self._coded = _encode(policy, requests, config)
        self._sampling = Sampling(config.max_new_tokens, config.temperature)
        self._budget = config.tokens_per_batch or default_budget()
        self._sums = _no_figures()
        self._guard = MissingRewardGuard()

    def training_step(self, model: nn.Module, inputs: Step, num_items_in_batch: Any = None) -> Tensor:
        """One optimiser step's gradient on this rank."""
        rewards, answers = self._ask(inputs)
        weights = self._weights(rewards)
        groups, flat = [], []
        for row, index in enumerate(inputs["prompts"]):
            prompt, answer = self._coded[index]
            own = [tuple(ids) for ids in answers[row]]
            weighed = weights[row].tolist()
            if self._config.objective == "reward" and answer:
                own.append(answer)
                weighed.append(1 / sum(bool(self._coded[i][1]) for i in inputs["prompts"]))
            kept = [(ids, weight) for ids, weight in zip(own, weighed, strict=True) if weight]
            if kept:
                groups.append(TokenizedGroup(prompt, tuple(ids for ids, _ in kept)))
                flat += [weight for _, weight in kept]
        if not groups:  # all answers are worth the same: a step of no length
            first = inputs["prompts"][0]
            groups, flat = [TokenizedGroup(self._coded[first][0], (answers[0][0],))], [0.0]
        bare = self._bare
        assert isinstance(bare, WeightedPolicy)
        pad_id = self._policy.tokenizer.pad_token_id
        batches = response_batches(groups, budget=self._budget, pad_id=pad_id, shared=bare.net.reads_groups)
        micro = [(batch, torch.tensor([flat[item] for item in items])) for items, batch in batches]
        return super().training_step(model, {"micro": micro, "judgements": 1})

    def _ask(self, inputs: Step) -> tuple[Tensor, list[list[tuple[int, ...]]]]:
        """Rewards (prompts, samples), NaN where there is none, and the answers as token ids."""
        asked = [self._requests[index] for index in inputs["prompts"]]
        generator = torch.Generator().manual_seed(self._config.seed * 1_000_003 + inputs["place"])
        self._bare.eval()
        samples = self._policy.sample_tokens(
            [list(self._coded[index][0]) for index in inputs["prompts"]],
            self._config.num_generations,
            self._sampling,
            generator,
        )
        texts = [self._policy.text(sample) for own in samples for sample in own]
        prompts = [request.prompt for request in asked for _ in range(self._config.num_generations)]
        references = [request.reference for request in asked for _ in range(self._config.num_generations)]
        given = score_texts(self._scorer, prompts, texts, references)
        self._guard.note(given.values, given.reasons)
        rewards = torch.from_numpy(given.values)
        self._note(rewards, texts, [sample for own in samples for sample in own])
        return rewards.view(len(asked), -1), [[sample.ids for sample in own] for own in samples]

    def _weights(self, rewards: Tensor) -> Tensor:
        if self._config.objective == "reward":
            return losses.score_function_weights(rewards, self._config.lam)
        if self._config.objective == "rwr":
            return losses.exponential_weights(rewards, self._config.beta)
        return losses.best_weights(rewards)

    def _note(self, rewards: Tensor, texts: Sequence[str], samples: Sequence[Any]) -> None:
        known = rewards[~rewards.isnan()]
        self._sums += torch.tensor(
            [
                float(known.sum()),
                len(known),
                len(rewards) - len(known),
                sum(not text for text in texts),
                sum(len(sample.ids) for sample in samples),
                sum(not sample.finished for sample in samples),
            ]
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what was sampled since the last log: mean reward and length; answers without a reward, empty, cut."""
        if "loss" in logs:
            sums = self.accelerator.reduce(self._sums.to(self.args.device), reduction="sum").tolist()
            total, known, missing, empty, tokens, cut = sums
            logs["reward"] = total / known if known else math.nan
            answers = known + missing
            logs |= {
                "reward_missing": missing / answers,
                "responses_without_reward": missing,
                "answers_empty": empty / answers,
                "answer_tokens": tokens / answers,
                "answers_cut": cut / answers,
            }
            self._sums = _no_figures()
        super().log(logs, start_time)


def _no_figures() -> Tensor:
    return torch.zeros(6, dtype=torch.float64)


def _encode(
    policy: Policy, requests: Sequence[Candidates], config: WeightedConfig
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Of each request the tokens of its prompt, and those of its good answer (none where it has none).

    Raises:
        DataError: a prompt, or an answer behind it, is too long.
    """
    try:
        prompts = policy.encode_prompts([request.prompt for request in requests], max_new_tokens=config.max_new_tokens)
        answers = policy.encode_responses(prompts, [(r.prompt, r.demonstration or "") for r in requests])
    except TextError as error:
        raise error.at(requests[error.index].origin) from None
    return [
        (tuple(prompt), tuple(answer) if request.demonstration else ())
        for request, prompt, answer in zip(requests, prompts, answers, strict=True)
    ]


def train_weighted(
    scorer: Scorer,
    requests: Sequence[Candidates],
    out: str | Path,
    config: WeightedConfig | None = None,
    *,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Policy:
    """Trains a policy by reward-weighted likelihood, and saves it in HF layout.

    Args:
        scorer: the reward.
        requests: prompts, with good answers where the data has them (`guerdon.data.candidates.read_prompts`).
        out: folder of the policy; `out/run` keeps checkpoints, `metrics.jsonl` and TensorBoard files.
        config: how to train.
        resume: go on from the last checkpoint in `out`.
        on_step: called after every step with the figures so far.

    Raises:
        DataError: a prompt is too long.
        ConfigError: options that do not fit together.
        ModelError: the policy cannot be loaded or trained, or no answer has a reward.
        OutputError: `out` cannot be written.
    """
    config = config or WeightedConfig()
    out = Path(out)
    run = out / RUN_FOLDER
    check_writable(out / "policy.json")
    fingerprint = fingerprint_of(requests)
    with main_process_first() as main:
        if main:
            check_run(run, config, fingerprint, resume)
    policy = Policy.load(config.policy, dtype="float32", trust_remote_code=config.trust_remote_code)
    if config.lora_r:
        policy.add_lora(config.lora_r, config.lora_alpha)
    model = WeightedPolicy(PolicyNet(policy.model), config.temperature)
    steps = PromptSteps(len(requests), config)
    arguments = step_arguments(
        run,
        steps=steps.steps,
        learning_rate=config.learning_rate or (1e-4 if config.lora_r else 1e-5),
        warmup=config.warmup_ratio,
        weight_decay=config.weight_decay,
        checkpoint_every=config.save_steps or max(1, steps.steps // 10),
        validates=False,
        seed=config.seed,
    )
    if config.prompts_per_step % arguments.world_size:
        raise ConfigError(
            f"--prompts-per-step {config.prompts_per_step} cannot be shared equally by {arguments.world_size} devices"
        )
    trainer = WeightedTrainer(
        model,
        arguments,
        PromptSteps(len(requests), config, arguments.world_size),
        policy=policy,
        scorer=scorer,
        requests=requests,
        config=config,
        callbacks=run_callbacks(run, on_step, config.prompts_per_step, main=arguments.process_index == 0),
    )
    with main_process_first() as main:
        if main:  # only now is it sure that there is something to run
            mark_run(run, config, fingerprint)
    done = checkpoint_steps(run) if resume else []
    trainer.train(resume_from_checkpoint=str(run / f"checkpoint-{done[-1]}") if done else None)
    trainer.accelerator.wait_for_everyone()
    with main_process_first() as main:
        if main:
            policy.save(out, training=asdict(config))
            for step in checkpoint_steps(run):
                shutil.rmtree(run / f"checkpoint-{step}", ignore_errors=True)
    return policy
