"""From the judgements of a step to micro-batches, tokens within a budget and what is known of them; and their loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from guerdon import losses
from guerdon.collation import Batch, Layout, SharedRow, TokenTable, collate, items_of
from guerdon.packing import computed_tokens, lay_out
from guerdon.rewards.reward_net import RewardNet
from guerdon.runs.loop import Collated, Step
from guerdon.train.judgements import Compared, HeadOutputs, Judgement, Listed, Rated, Stepped
from guerdon.train.train_config import TrainConfig

Targets = dict[str, Tensor]
"""What the judgements of a micro-batch say; `n` indexes the scores in the order of the batch.

`pair` (p, 2) n of chosen and rejected; `pair_values` (p, 3) preference, margin, weight; `rated` (r,) n;
`rated_targets` (r, k); `stepped` (s,) n; `step_labels` (s, most steps), NaN where not judged; `lists` (l, items) n;
`list_grades` (l, items), NaN padding; `contrasts` and `contrast_grades` likewise."""


@dataclass(slots=True)
class TokenBudget:
    """How many tokens a micro-batch may compute, padding included; every step is cut by what stands here then."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A micro-batch to be: judgements, and the rows that hold their texts."""

    judgements: list[Judgement]
    rows: list[SharedRow]
    prompts: frozenset[str]
    """Of its texts."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How steps are cut into micro-batches."""

    tokens: TokenTable
    """The tokens of every text of the table."""
    prompt_keys: Sequence[str]
    """The prompt of every text."""
    budget: TokenBudget
    pad_id: int
    layout: Layout
    """Whether the prompt of several texts is computed once, and whether with padding."""
    positions: bool
    """Give `position_ids`."""

    def step(self, judgements: Sequence[Judgement], rank: int = 0, ranks: int = 1) -> Step:
        """One device's share of a step: consecutive judgements, so that those of a prompt stay together."""
        count, tokens = len(judgements), self.budget.tokens
        mine = judgements[rank * count // ranks : (rank + 1) * count // ranks]
        # A device without a judgement takes part as well: it computes one and adds nothing.
        cuts = self.cut(mine or judgements[:1])

        def smaller() -> Step:
            self.budget.tokens = min(self.budget.tokens, tokens // 2)
            return self.step(judgements, rank, ranks)

        divisible = any(len(cut.judgements) > 1 for cut in cuts)
        return Step(Collated(self.collate, cuts), len(mine), smaller=smaller if divisible else None)

    def cut(self, judgements: Sequence[Judgement]) -> list[Cut]:
        """Cuts a step into micro-batches of at most `budget` tokens, like lengths together.

        The texts of one judgement stay together; a judgement that exceeds the budget by itself is a micro-batch of its
        own.
        """
        clusters: dict[str, list[Judgement]] = defaultdict(list)
        for judgement in judgements:
            clusters[self.prompt_keys[judgement.texts[0]]].append(judgement)
        # Judgements of one prompt stay together where they fit, so that they share its texts; then prompts of like
        # length.
        pieces = [
            piece
            for cluster in clusters.values()
            for piece in self._joined(self._cut([one]) for one in sorted(cluster, key=lambda one: one.texts))
        ]
        pieces.sort(key=lambda piece: -max(row.length for row in piece.rows))
        return self._joined(pieces)

    def _joined(self, pieces: Iterable[Cut]) -> list[Cut]:
        """Joins pieces in their order, as far as the budget goes."""
        found: list[Cut] = []
        for piece in pieces:
            joined = self._both(found[-1], piece) if found else piece
            if found and computed_tokens(joined.rows, self.layout) <= self.budget.tokens:
                found[-1] = joined
            else:
                found.append(piece)
        return found

    def _both(self, one: Cut, other: Cut) -> Cut:
        judgements, prompts = [*one.judgements, *other.judgements], one.prompts | other.prompts
        if len(prompts) < len(one.prompts) + len(other.prompts):  # rows may hold texts of both
            return self._cut(judgements)
        return Cut(judgements, [*one.rows, *other.rows], prompts)

    def _cut(self, judgements: list[Judgement]) -> Cut:
        texts = dict.fromkeys(text for judgement in judgements for text in judgement.texts)
        shared = self.layout != "padded"
        rows = lay_out(self.tokens, texts, self.prompt_keys, longest=self.budget.tokens, shared=shared)
        return Cut(judgements, rows, frozenset(self.prompt_keys[text] for text in texts))

    def collate(self, cut: Cut) -> tuple[Batch, Targets]:
        """The micro-batch."""
        batch = collate(self.tokens, cut.rows, pad_id=self.pad_id, positions=self.positions, layout=self.layout)
        return batch, targets_of(cut.judgements, items_of(cut.rows))


def targets_of(judgements: Sequence[Judgement], order: Sequence[int]) -> Targets:
    """The targets of judgements whose texts are scored in `order` (indices of the table)."""
    place = {text: n for n, text in enumerate(order)}
    pairs = [j for j in judgements if isinstance(j, Compared)]
    rated = [j for j in judgements if isinstance(j, Rated)]
    listed = [j for j in judgements if isinstance(j, Listed)]
    targets: Targets = {}
    if pairs:
        targets["pair"] = torch.tensor([[place[j.chosen], place[j.rejected]] for j in pairs])
        targets["pair_values"] = torch.tensor([[j.preference, j.margin, j.weight] for j in pairs])
    if rated:
        targets["rated"] = torch.tensor([place[j.text] for j in rated])
        targets["rated_targets"] = torch.tensor([j.targets for j in rated], dtype=torch.float32)
    if stepped := [j for j in judgements if isinstance(j, Stepped)]:
        labels = [torch.tensor(j.labels, dtype=torch.float32) for j in stepped]
        targets["stepped"] = torch.tensor([place[j.text] for j in stepped])
        targets["step_labels"] = pad_sequence(labels, batch_first=True, padding_value=math.nan)
    for name, grades, members in (
        ("lists", "list_grades", [j for j in listed if not j.contrastive]),
        ("contrasts", "contrast_grades", [j for j in listed if j.contrastive]),
    ):
        if members:
            texts = [torch.tensor([place[text] for text in j.texts]) for j in members]
            own = [torch.tensor(j.grades, dtype=torch.float32) for j in members]
            targets[name] = pad_sequence(texts, batch_first=True)
            targets[grades] = pad_sequence(own, batch_first=True, padding_value=math.nan)
    return targets


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
        if "stepped" in targets:
            return step_loss(self.net.steps(**batch)[targets["stepped"]], targets["step_labels"])
        return reward_loss(self.net(**batch), targets, self.config, self.outputs)


def step_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The summed loss of solutions, and [judged steps, how many of them are on the right side of 0].

    Args:
        logits: shape (n, steps); where a solution was cut, fewer steps than are labelled.
        labels: shape (n, steps), NaN where not judged.
    """
    labels = torch.where(logits.isnan(), math.nan, labels[:, : logits.shape[1]])
    loss = losses.step_cross_entropy(logits.nan_to_num(), labels).sum()
    side = torch.where(labels > 0.5, logits, -logits)
    return loss, _ordered(side, (labels != 0.5) & ~labels.isnan()).detach()


def reward_loss(logits: Tensor, targets: Targets, config: TrainConfig, outputs: HeadOutputs) -> tuple[Tensor, Tensor]:
    """Every judgement of a micro-batch through its formula, summed; logits have shape (n, outputs), float32.

    Returns:
        The summed loss, shape (); and [judgements with an order, how many of them the scores order rightly, ties
        half], shape (2,), without gradient.
    """
    scores = logits[:, 0]
    loss = logits.new_zeros(())
    order = logits.new_zeros(2)
    if "pair" in targets:
        chosen, rejected = scores[targets["pair"]].unbind(dim=1)
        preference, margin, weight = targets["pair_values"].unbind(dim=1)
        if config.objective == "agreement":
            each = agreement_loss(chosen - rejected - margin, preference, config.agreement_entropy)
        else:
            each = losses.bradley_terry(
                chosen, rejected, margin=margin, preference=preference, label_smoothing=config.label_smoothing
            )
        if config.center_rewards_coefficient:
            each = each + config.center_rewards_coefficient * losses.reward_centering(chosen, rejected)
        loss = loss + (weight * each).sum()
        order = order + _ordered(chosen - rejected, preference > 0.5)
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


def agreement_loss(differences: Tensor, preference: Tensor, entropy: float) -> Tensor:
    """Less the exact return of a judge that reads all and then answers, shape (n,)."""
    nothing, at_once = torch.zeros_like(differences)[:, None], torch.zeros_like(differences)
    return -losses.early_stopping_return(differences[:, None], nothing, at_once, preference, nothing, entropy=entropy)


def _ordered(margins: Tensor, counted: Tensor) -> Tensor:
    """[how many margins are counted, how many of these are positive, ties half]; nothing waits for their number."""
    right = ((margins > 0) & counted).sum() + 0.5 * ((margins == 0) & counted).sum()
    return torch.stack((counted.sum().to(right.dtype), right))


def _list_order(scores: Tensor, grades: Tensor) -> Tensor:
    """`_ordered` of all pairs of different grade within lists (lists, items)."""
    better = grades.unsqueeze(2) > grades.unsqueeze(1)  # never true of padding, whose grade is NaN
    return _ordered(scores.unsqueeze(2) - scores.unsqueeze(1), better)
