"""RLlib's Learner for text: the update of `rl/update.py` on the weights that RLlib keeps and checkpoints."""

from __future__ import annotations

import time
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData

from guerdon.optimize.rl.algorithms import algorithm_named
from guerdon.optimize.rl.config import RLConfig
from guerdon.optimize.rl.module import TextModule
from guerdon.optimize.rl.update import Ranks, Updater, UpdateSettings, reference_of
from guerdon.packing import default_budget


class TextLearner(TorchLearner):  # type: ignore[misc]
    """One of the learners that share an update, or the only one.

    RLlib's own loop splits a batch row by row, repeats rows that do not divide, and steps once a batch; a group of
    answers must stay whole and be learnt from once, in micro-batches of like length. So `update` is our own, and every
    learner gets all groups of the step: token ids, a few hundred kilobytes.
    """

    updater: Updater

    def build(self) -> None:
        """Builds the module and the optimiser, and remembers the policy as it is now, to measure the KL from."""
        super().build()
        module = self._text_module()
        count = max(1, self.config.num_learners)
        ranks = Ranks(torch.distributed.get_rank(), count) if count > 1 else Ranks()
        settings: RLConfig = module.model_config["rl"]
        algorithm = algorithm_named(settings.algorithm)
        self.updater = Updater(
            module.actor,
            self.get_optimizer(DEFAULT_MODULE_ID),
            UpdateSettings(
                algorithm,
                longest=settings.max_new_tokens * settings.max_turns,
                temperature=settings.temperature,
                passes=settings.num_iterations,
                groups_per_minibatch=settings.prompts_per_minibatch,
                clip_gradient=settings.max_grad_norm,
                gamma=settings.gamma,
                lam=settings.lam,
                budget=settings.tokens_per_batch or default_budget(),
            ),
            reference=reference_of(module.actor.net) if algorithm.kl != "none" or settings.kl_target else None,
            pad_id=module.policy.tokenizer.pad_token_id,
            ranks=ranks,
        )

    def _text_module(self) -> TextModule:
        module = self.module[DEFAULT_MODULE_ID]
        assert isinstance(module, TextModule)
        return module

    def _make_modules_ddp_if_necessary(self) -> None:
        """No DDP: gradients are summed once an optimiser step, not once a micro-batch."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """AdamW on what is trained."""
        module = self.module[module_id]
        settings: RLConfig = module.model_config["rl"]
        trained = self.get_parameters(module)
        optimizer = torch.optim.AdamW(trained, lr=settings.peak_learning_rate, weight_decay=settings.weight_decay)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=trained)

    def get_parameters(self, module: Any) -> list[torch.nn.Parameter]:
        """What is trained: a frozen base has no gradient to check."""
        return [parameter for parameter in module.parameters() if parameter.requires_grad]

    def compute_loss_for_module(self, **_: Any) -> Any:
        """Not asked for: the loss is taken in micro-batches, inside `update`."""
        raise NotImplementedError("the loss is taken inside TextLearner.update")

    def update(
        self,
        *,
        training_data: TrainingData,
        beta: float = 0.0,
        rate: float = 1.0,
        seed: int = 0,
        **_: Any,
    ) -> dict[str, Any]:
        """Learns from the answers of one sampling step.

        Args:
            training_data: `batch` (or the only one of `batches`) is the groups of the step.
            beta: weight of the KL.
            rate: share of the learning rate that is in force.
            seed: of the order of minibatches.

        Returns:
            Figures, and the seconds that the update took.
        """
        start = time.perf_counter()
        groups = training_data.batch if training_data.batches is None else training_data.batches[0]
        module = self._text_module()
        for group in self.updater.optimizer.param_groups:
            group["lr"] = module.model_config["rl"].peak_learning_rate * rate
        figures = self.updater.update(groups, beta=beta, generator=torch.Generator().manual_seed(seed))
        self._weights_seq_no += 1
        return {"figures": figures | {"seconds_learning": time.perf_counter() - start}}
