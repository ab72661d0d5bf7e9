"""From the scores of a micro-batch to its loss: every judgement through its formula in `guerdon.losses`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from guerdon import losses
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads, Judgement, Listed, Pair, Rated, TextTable

Targets = dict[str, Tensor]
"""What the judgements of a micro-batch say; `n` indexes the scores in the order of the batch.

`pair` (p, 2) n of chosen and rejected; `pair_values` (p, 4) preference, margin, weight, log-length difference;
`rated` (r,) n; `rated_targets` (r, k); `lists` (l, items) n; `list_grades` (l, items), NaN padding;
`contrasts` and `contrast_grades` likewise."""


def targets_of(judgements: Sequence[Judgement], order: Sequence[int], table: TextTable, heads: Heads) -> Targets:
    """The targets of judgements whose texts are scored in `order` (indices of the table)."""
    place = {text: n for n, text in enumerate(order)}
    pairs = [j for j in judgements if isinstance(j, Pair)]
    rated = [j for j in judgements if isinstance(j, Rated)]
    listed = [j for j in judgements if isinstance(j, Listed)]
    targets: Targets = {}
    if pairs:
        targets["pair"] = torch.tensor([[place[j.chosen], place[j.rejected]] for j in pairs])
        targets["pair_values"] = torch.tensor(
            [
                [j.preference, j.margin, j.weight, _log_length(table, j.chosen) - _log_length(table, j.rejected)]
                for j in pairs
            ]
        )
    if rated:
        targets["rated"] = torch.tensor([place[j.text] for j in rated])
        targets["rated_targets"] = torch.tensor([j.targets for j in rated], dtype=torch.float32)
    for name, grades, members in (
        ("lists", "list_grades", [j for j in listed if not j.contrastive]),
        ("contrasts", "contrast_grades", [j for j in listed if j.contrastive]),
    ):
        if members:
            targets[name], targets[grades] = _stack(members, place)
    return targets


def _log_length(table: TextTable, text: int) -> float:
    return math.log(1 + len(table.responses[text]))


def _stack(listed: Sequence[Listed], place: dict[int, int]) -> tuple[Tensor, Tensor]:
    width = max(len(j.members) for j in listed)
    index = torch.zeros(len(listed), width, dtype=torch.long)
    grades = torch.full((len(listed), width), math.nan)
    for row, judgement in enumerate(listed):
        index[row, : len(judgement.members)] = torch.tensor([place[text] for text in judgement.members])
        grades[row, : len(judgement.members)] = torch.tensor(judgement.grades)
    return index, grades


class RewardObjective(nn.Module):
    """Sums the losses of a micro-batch.

    Holds the one weight that training has beside the model's: the coefficient of log length (`--length-covariate`).
    """

    def __init__(self, config: TrainConfig, heads: Heads) -> None:
        super().__init__()
        self.config = config
        self.heads = heads
        self.length_coefficient = nn.Parameter(torch.zeros(()), requires_grad=config.length_covariate)

    def forward(self, logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Sums over the judgements of a micro-batch.

        Args:
            logits: shape (n, outputs), float32.
            targets: see `Targets`.

        Returns:
            The summed loss, shape (); and [judgements with an order, how many of them the scores order rightly, ties
            half], shape (2,), without gradient.
        """
        scores = logits[:, self.heads.preference]
        loss = logits.new_zeros(())
        order = logits.new_zeros(2)
        if "pair" in targets:
            chosen, rejected = scores[targets["pair"]].unbind(dim=1)
            loss = loss + self._pairs(chosen, rejected, targets["pair_values"])
            decided = targets["pair_values"][:, 0] > 0.5
            order = order + _ordered((chosen - rejected)[decided])
        if "lists" in targets:
            grades = targets["list_grades"]
            loss = loss + losses.plackett_luce(scores[targets["lists"]], grades).sum()
            order = order + _list_order(scores[targets["lists"]], grades)
        if "contrasts" in targets:
            grades = targets["contrast_grades"]
            members = scores[targets["contrasts"]]
            loss = loss + losses.contrastive(members, ~grades.isnan(), temperature=self.config.temperature).sum()
            order = order + _list_order(members, grades)
        if "rated" in targets:
            outputs = [index for index, name in enumerate(self.heads.names) if name in self.heads.rated]
            predicted = logits[targets["rated"]][:, outputs]
            loss = loss + self.config.regression_weight * losses.regression(predicted, targets["rated_targets"]).sum()
        return loss, order.detach()

    def _pairs(self, chosen: Tensor, rejected: Tensor, values: Tensor) -> Tensor:
        preference, margin, weight, longer = values.unbind(dim=1)
        loss = losses.bradley_terry(
            chosen + self.length_coefficient * longer,
            rejected,
            margin=margin,
            preference=preference,
            smoothing=self.config.smoothing,
        )
        if self.config.centring:
            loss = loss + self.config.centring * losses.centring(chosen, rejected)
        return (weight * loss).sum()


def _ordered(margins: Tensor) -> Tensor:
    """[how many margins, how many of them positive, ties half]."""
    right = (margins > 0).sum() + 0.5 * (margins == 0).sum()
    return torch.stack((torch.as_tensor(margins.numel(), device=margins.device, dtype=right.dtype), right))


def _list_order(scores: Tensor, grades: Tensor) -> Tensor:
    """`_ordered` of all pairs of different grade within lists (lists, items)."""
    better = grades.unsqueeze(2) > grades.unsqueeze(1)  # never true of padding, whose grade is NaN
    return _ordered((scores.unsqueeze(2) - scores.unsqueeze(1))[better])
