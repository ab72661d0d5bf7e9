"""A reward model that RLlib trains as a policy: the article's second snippet, in today's API and on real comparisons.

The environment "MyTextEnv" shows two responses chunk by chunk; "MyRewardModel" reads on, or prefers one of them, and
earns the share of people who agree with it. What is left is a reward of single responses, saved as any other.

    python examples/reward_with_rllib.py
    python examples/reward_with_rllib.py PAIRS.jsonl.gz --group subset --group-regex '^(.*)_'
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

import guerdon
from guerdon.rewards.embedding import ReadFeatures, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.runs.ray_cluster import ray_running
from guerdon.train.judge_environment import JudgeEnvironment
from guerdon.train.judge_ppo import AVERAGED, JudgeLearner, JudgeModule, reward_weights
from guerdon.train.judge_readings import PreparedReadings

ENCODER = "minilm"
GAIN = 10.0
"""By how much a reward moves further than its weights: the learning rate of 1e-4 alone would take hours."""


class MyRewardModel(JudgeModule):
    """The policy: logits [q, d / 2, -d / 2] with d = r(a) - r(b), and a value. Change what it reads here."""


def my_text_env(context: dict[str, Any]) -> JudgeEnvironment:
    """The environment, as RLlib makes it in its processes."""
    return JudgeEnvironment(ray.get(context["readings"]), num_envs=context["num_envs"], cost=0.01)


def average(*, algorithm: Any, result: dict[str, Any], **_: Any) -> None:
    """Reports the running mean of the reward's weights: what a single iteration learns is mostly noise."""
    newest = reward_weights(algorithm)
    mean = getattr(algorithm, "mean_weights", newest)
    algorithm.mean_weights = mean + max(AVERAGED, 1 / result["training_iteration"]) * (newest - mean)
    result["reward_weights"] = algorithm.mean_weights.tolist()


def main(arguments: list[str] | None = None) -> float:
    """Trains on part of the groups, and measures on the others; gives the accuracy there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="starter:train:en")
    parser.add_argument("--group")
    parser.add_argument("--group-regex")
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--out", default="runs/rllib")
    given = parser.parse_args(arguments)

    rows = guerdon.load_rows(given.data, group=given.group, group_regex=given.group_regex)
    judged = JudgedResponses.of(rows, "pairs")
    folds = judged.folds(4)
    learnt, unseen = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    prepared = PreparedReadings.of(ReadFeatures(text_encoder(ENCODER)), judged, chunk_words=12)

    start = time.perf_counter()
    with ray_running(), tempfile.TemporaryDirectory() as folder:
        tune.register_env("MyTextEnv", my_text_env)
        settings = {"gain": GAIN, "weight_decay": 6 * GAIN}
        config = (
            PPOConfig()
            .environment("MyTextEnv", env_config={"readings": ray.put(prepared.readings.of(learnt))})
            .env_runners(num_env_runners=0, num_envs_per_env_runner=64, gym_env_vectorize_mode="vector_entry_point")
            .rl_module(rl_module_spec=RLModuleSpec(module_class=MyRewardModel, model_config=settings))
            .training(
                lr=1e-4,
                gamma=1.0,
                lambda_=1.0,
                train_batch_size_per_learner=4096,
                minibatch_size=1024,
                num_epochs=4,
                entropy_coeff=0.03,
                use_kl_loss=False,
                learner_class=JudgeLearner,
            )
            .callbacks(on_train_result=average)
        )
        run = tune.RunConfig(stop={"training_iteration": given.iterations}, storage_path=folder, verbose=0)
        results = tune.Tuner(config.algo_class, param_space=config, run_config=run).fit()
        weights = np.array(results[0].metrics["reward_weights"])

    prepared.reward(GAIN * weights).save(given.out)
    found = guerdon.load_scorer(given.out)
    prompts = [judged.prompts[i] for i in judged.better[unseen]]
    sides = [[judged.responses[i] for i in side[unseen]] for side in (judged.better, judged.worse)]
    margins = found.score(prompts, sides[0]) - found.score(prompts, sides[1])
    longer = np.array([len(one) - len(other) for one, other in zip(*sides, strict=True)])
    accuracy, baseline = (float(((one > 0) + 0.5 * (one == 0)).mean()) for one in (margins, longer))
    minutes = (time.perf_counter() - start) / 60
    print(f"{len(unseen)} comparisons of groups never seen, {minutes:.1f} minutes of training")
    print(f"MyRewardModel {accuracy:.3f}, the longer response {baseline:.3f}; reward: {given.out}")
    return accuracy


if __name__ == "__main__":
    main()
