"""Reward-weighted training: the likelihood of texts, weighted by what they are worth.

Every step samples responses from the policy as it is, asks the reward about them, and takes one step on

    - sum_i w_i log pi(y_i | x_i)

where the weights are those of the article's L(x) = L_MLE(x) - lambda R(x), of reward-weighted regression, or of RAFT:
`score_function_weights`, `exponential_weights`, `best_weights` in `guerdon.losses`, which says what lambda does. The
first also weighs the demonstrations of the data, by one over their number in the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from guerdon import losses
from guerdon.data.candidates import read_prompts
from guerdon.errors import ConfigError, TextError
from guerdon.files import check_writable
from guerdon.optimize.optimize_config import WeightedConfig
from guerdon.optimize.prompts import check_references, prompt_stream, too_long, without
from guerdon.packing import default_budget
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet, ResponseBatch, TokenizedGroup, response_batches
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.scoring import ScorerFailedError, no_reward_summary, no_rewards, score_texts, scorer_name
from guerdon.rewards.truncation import report_totals
from guerdon.runs.folder import fingerprint_of, open_run
from guerdon.runs.guard import MissingRewardGuard
from guerdon.runs.log import OnStep
from guerdon.runs.loop import Loop, LoopConfig, Step
from guerdon.runs.ranks import device_name, on_first_process
from guerdon.types import Candidates, Comparer, Scorer


def train_weighted_policy(
    reward: Scorer | Comparer | ScorerConfig | str | Path,
    data: str | Path | Sequence[Candidates],
    out: str | Path,
    config: WeightedConfig | None = None,
    *,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Policy:
    """Trains a policy by reward-weighted likelihood, and saves it in HF layout.

    Args:
        reward: the reward, or which one it is.
        data: prompts, with demonstrations where the data has them, or where to read them.
        out: folder of the policy; `out/run` keeps checkpoints, `metrics.jsonl` and TensorBoard files.
        config: how to train.
        resume: go on from the last checkpoint in `out`.
        on_step: called after every step with the metrics so far.

    Raises:
        DataError: a prompt is too long.
        ConfigError: options that do not fit together.
        ModelError: the policy cannot be loaded or trained, or no response has a reward.
        OutputError: `out` cannot be written, holds another run, or is in use.

    Example:
        >>> import guerdon
        >>> config = guerdon.WeightedConfig(policy="smollm2", lam=100.0)
        >>> guerdon.train_weighted_policy("runs/helpful", "prompts.jsonl", "better", config)
    """
    config, out = config or WeightedConfig(), Path(out)
    check_writable(out / "policy.json")
    if isinstance(reward, ScorerConfig | str | Path):
        named = reward if isinstance(reward, ScorerConfig) else ScorerConfig(name=str(reward))
        reward = replace(named, device=named.device or device_name())
    reward = load_picker(reward)
    prompts = (
        read_prompts(str(data), question=config.question, map=config.map) if isinstance(data, str | Path) else data
    )
    check_references({scorer_name(reward): reward}, prompts, str(data) if isinstance(data, str | Path) else "the data")
    with open_run(out, asdict(config), fingerprint_of(prompts), resume=resume) as run:
        if run.finished:
            return Policy.load(str(out))
        policy = Policy.load(
            config.policy, device=device_name(), dtype="float32", trust_remote_code=config.trust_remote_code
        )
        prompts = without(prompts, too_long(policy, prompts, max_new_tokens=config.max_new_tokens))
        if config.lora_r:
            policy.add_lora(config.lora_r, config.lora_alpha)
        model = WeightedPolicy(PolicyNet(policy.model), config.temperature)
        steps = config.steps_for(len(prompts))
        loop_config = LoopConfig(
            steps=steps,
            learning_rate=config.learning_rate or (1e-4 if config.lora_r else 1e-5),
            warmup_ratio=config.warmup_ratio,
            weight_decay=config.weight_decay,
            save_steps=config.every(config.save_steps, steps),
            examples_per_step=config.prompts_per_step,
            seed=config.seed,
        )
        loop = Loop(model, loop_config, run.path, on_step=on_step)
        if config.prompts_per_step < loop.ranks:
            raise ConfigError(f"--prompts-per-step {config.prompts_per_step} is fewer than the {loop.ranks} devices")
        sampler = WeightedSampler(policy, model, reward, prompts, config, rank=loop.rank, ranks=loop.ranks)
        on_first_process(run.begin)  # only now is it sure that there is something to run
        loop.train(sampler.step, checkpoint=run.last_checkpoint if resume else None)
        on_first_process(lambda: policy.save(out, training=asdict(config)))
        report_totals([reward])
        on_first_process(run.finish)
    return policy


class WeightedPolicy(nn.Module):
    """What the optimiser sees: the policy and the weighted likelihood of a micro-batch."""

    def __init__(self, net: PolicyNet, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.net._no_split_modules

    def forward(self, batch: ResponseBatch, weights: Tensor) -> tuple[Tensor, Tensor]:
        """- sum_i w_i log pi(y_i); `weights` has shape (responses,). No pairs are ordered."""
        logps = self.net(batch, self.temperature)
        return -(weights[batch["response"]] * logps).sum(), torch.zeros(2, device=logps.device)


class WeightedSampler:
    """Makes the steps: samples responses, asks the reward, and weighs them."""

    def __init__(
        self,
        policy: Policy,
        model: WeightedPolicy,
        scorer: Scorer,
        prompts: Sequence[Candidates],
        config: WeightedConfig,
        *,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Tokenizes the prompts. Raises DataError where one, or the demonstration behind it, is too long."""
        self.policy, self.model, self.scorer, self.prompts, self.config = policy, model, scorer, prompts, config
        self.rank, self.ranks = rank, ranks
        self.guard = MissingRewardGuard()
        texts = [prompt.prompt for prompt in prompts]
        try:
            self.prompt_ids = policy.encode_prompts(texts, max_new_tokens=config.max_new_tokens)
            given = [(prompt.prompt, prompt.demonstration or "") for prompt in prompts]
            self.demonstration_ids = policy.encode_responses(self.prompt_ids, given)
        except TextError as error:
            raise error.at(prompts[error.index].origin) from None

    def step(self, index: int) -> Step:
        """This device's share of a step."""
        config, count = self.config, self.config.prompts_per_step
        stream = prompt_stream(len(self.prompts), config.seed, skip=index * count)
        chosen = [next(stream) for _ in range(count)][self.rank :: self.ranks]

        # y ~ pi(. | x)
        self.model.eval()
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + index * self.ranks + self.rank)
        samples = self.policy.sample_tokens(
            [list(self.prompt_ids[one]) for one in chosen],
            config.num_generations,
            Sampling(config.max_new_tokens, config.temperature),
            generator,
        )
        flat = [sample for own in samples for sample in own]
        texts = [self.policy.text(sample) for sample in flat]

        # R(x, y), NaN where there is none
        asked = [self.prompts[one] for one in chosen for _ in range(config.num_generations)]
        try:
            rewards = score_texts(self.scorer, [a.prompt for a in asked], texts, [a.reference for a in asked])
        except ScorerFailedError as error:  # a service may be back at the next step
            rewards = no_rewards(len(texts), str(error))
        self.guard.note(rewards.values, rewards.reasons)
        missing = no_reward_summary(rewards)

        # w, and -sum w log pi in micro-batches
        values = torch.from_numpy(rewards.values)
        weights = self.weights(values.view(len(chosen), -1))
        groups, weight_of = self._groups(chosen, [[tuple(sample.ids) for sample in own] for own in samples], weights)
        batches = response_batches(
            groups,
            budget=config.tokens_per_batch or default_budget(),
            pad_id=self.policy.tokenizer.pad_token_id,
            shared=self.model.net.reads_groups,
        )
        # Weights make a mean over the device's prompts; the loop divides a sum over all prompts by their number.
        micro_batches = [
            (batch, torch.tensor([weight_of[item] * len(chosen) for item in items])) for items, batch in batches
        ]
        known, everyone = values[~values.isnan()], float(len(flat))
        metrics = {
            "reward": (float(known.sum()), float(len(known))),
            "reward_missing": (everyone - len(known), everyone),
            "responses_without_reward": (everyone - len(known), 1 / self.ranks),
            "response_tokens": (float(sum(len(sample.ids) for sample in flat)), everyone),
            "responses_empty": (float(sum(not text for text in texts)), everyone),
            "responses_truncated": (float(sum(not sample.finished for sample in flat)), everyone),
        }
        return Step(micro_batches, len(chosen), metrics, {"reward_missing_reason": missing} if missing else {})

    def weights(self, rewards: Tensor) -> Tensor:
        """What -log pi of each response counts; both of shape (prompts, responses), NaN for no reward."""
        if self.config.objective == "reward":
            return losses.score_function_weights(rewards, self.config.lam)
        if self.config.objective == "rwr":
            return losses.exponential_weights(rewards, self.config.beta)
        return losses.best_weights(rewards)

    def _groups(
        self, chosen: Sequence[int], responses: Sequence[Sequence[tuple[int, ...]]], weights: Tensor
    ) -> tuple[list[TokenizedGroup], list[float]]:
        """What has a weight: sampled responses and, for objective `reward`, demonstrations."""
        shown = [one for one in chosen if self.config.objective == "reward" and self.prompts[one].demonstration]
        groups, weight_of = [], []
        for one, own, own_weights in zip(chosen, responses, weights.tolist(), strict=True):
            weighed = list(zip(own, own_weights, strict=True))
            if one in shown:
                weighed.append((tuple(self.demonstration_ids[one]), 1 / len(shown)))
            kept = [(ids, weight) for ids, weight in weighed if weight]
            if kept:
                groups.append(TokenizedGroup(tuple(self.prompt_ids[one]), tuple(ids for ids, _ in kept)))
                weight_of += [weight for _, weight in kept]
        if not groups:  # all responses are worth the same: a step of no length
            return [TokenizedGroup(tuple(self.prompt_ids[chosen[0]]), (responses[0][0],))], [0.0]
        return groups, weight_of
