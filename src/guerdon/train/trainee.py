"""What is trained: the network, and the loss of a micro-batch by the formulas of `guerdon.losses`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from guerdon import losses
from guerdon.packing import Batch
from guerdon.rewards.reward_net import RewardNet
from guerdon.train.batches import Targets
from guerdon.train.judgements import HeadOutputs
from guerdon.train.train_config import TrainConfig


class RewardTrainee(nn.Module):
    """What the optimiser sees: micro-batches to losses."""

    def __init__(self, net: RewardNet, config: TrainConfig, outputs: HeadOutputs) -> None:
        super().__init__()
        self.net, self.config, self.outputs = net, config, outputs

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.net._no_split_modules

    def forward(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """The summed loss of a micro-batch, and its order counts; see `reward_loss`."""
        return reward_loss(self.net(**batch), targets, self.config, self.outputs)


def reward_loss(logits: Tensor, targets: Targets, config: TrainConfig, outputs: HeadOutputs) -> tuple[Tensor, Tensor]:
    """Every judgement of a micro-batch through its formula, summed.

    Args:
        logits: shape (n, outputs), float32.
        targets: what the judgements say; see `Targets`.
        config: which terms there are.
        outputs: which column of the logits is judged by what.

    Returns:
        The summed loss, shape (); and [judgements with an order, how many of them the scores order rightly, ties
        half], shape (2,), without gradient.
    """
    scores = logits[:, outputs.preference]
    loss = logits.new_zeros(())
    order = logits.new_zeros(2)
    if "pair" in targets:
        chosen, rejected = scores[targets["pair"]].unbind(dim=1)
        preference, margin, weight = targets["pair_values"].unbind(dim=1)
        each = losses.bradley_terry(
            chosen, rejected, margin=margin, preference=preference, label_smoothing=config.label_smoothing
        )
        if config.center_rewards_coefficient:
            each = each + config.center_rewards_coefficient * losses.reward_centering(chosen, rejected)
        loss = loss + (weight * each).sum()
        order = order + _ordered((chosen - rejected)[preference > 0.5])
    if "lists" in targets:
        grades = targets["list_grades"]
        loss = loss + losses.plackett_luce(scores[targets["lists"]], grades).sum()
        order = order + _list_order(scores[targets["lists"]], grades)
    if "contrasts" in targets:
        grades, members = targets["contrast_grades"], scores[targets["contrasts"]]
        loss = loss + losses.contrastive(members, ~grades.isnan(), temperature=config.contrastive_temperature).sum()
        order = order + _list_order(members, grades)
    if "rated" in targets:
        columns = [index for index, name in enumerate(outputs.names) if name in outputs.rated]
        loss = loss + losses.regression(logits[targets["rated"]][:, columns], targets["rated_targets"]).sum()
    return loss, order.detach()


def _ordered(margins: Tensor) -> Tensor:
    """[how many margins, how many of them positive, ties half]."""
    right = (margins > 0).sum() + 0.5 * (margins == 0).sum()
    return torch.stack((torch.as_tensor(margins.numel(), device=margins.device, dtype=right.dtype), right))


def _list_order(scores: Tensor, grades: Tensor) -> Tensor:
    """`_ordered` of all pairs of different grade within lists (lists, items)."""
    better = grades.unsqueeze(2) > grades.unsqueeze(1)  # never true of padding, whose grade is NaN
    return _ordered((scores.unsqueeze(2) - scores.unsqueeze(1))[better])
