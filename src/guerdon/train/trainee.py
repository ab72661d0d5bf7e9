"""What is trained, and the steps that it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from guerdon.packing import Batch, Tokens, collate_padded, collate_shared
from guerdon.rewards.net import RewardNet
from guerdon.runs.trainer import Step
from guerdon.train.examples import Heads, Judgement, TextTable
from guerdon.train.objective import RewardObjective, Targets, targets_of
from guerdon.train.plan import MicroBatch, micro_batches


class Trainee(nn.Module):
    """What the optimiser sees: the network and the objective's own weight, as one module."""

    def __init__(self, net: RewardNet, objective: RewardObjective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    @property
    def _no_split_modules(self) -> Any:
        """For FSDP."""
        return self.net._no_split_modules

    def forward(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """Summed loss and order counts of a micro-batch; see `RewardObjective.forward`."""
        loss, order = self.objective(self.net(**batch), targets)
        return loss, order


class Steps(Dataset[Step]):
    """Optimiser steps, collated when they are asked for. Item i is the share of rank i % ranks of step i // ranks."""

    def __init__(
        self,
        steps: Sequence[Sequence[Judgement]],
        tokens: Sequence[Tokens],
        table: TextTable,
        heads: Heads,
        *,
        budget: int,
        pad_id: int,
        shared: bool,
        positions: bool,
        ranks: int = 1,
    ) -> None:
        self._steps = steps
        self._tokens = tokens
        self._table = table
        self._heads = heads
        self._budget = budget
        self._pad_id = pad_id
        self._shared = shared
        self._positions = positions
        self._ranks = ranks

    def __len__(self) -> int:
        return len(self._steps) * self._ranks

    def __getitem__(self, index: int) -> Step:
        step = self._steps[index // self._ranks]
        share = len(step) // self._ranks
        rank = index % self._ranks
        mine = step[rank * share : (rank + 1) * share] if self._ranks > 1 else step
        cuts = micro_batches(mine, self._tokens, self._table.prompt_keys, budget=self._budget, shared=self._shared)
        return {"micro": [self._collate(cut) for cut in cuts], "judgements": len(mine)}

    def _collate(self, cut: MicroBatch) -> tuple[Batch, Targets]:
        order = [text for row in cut.rows for text in row.items]
        if any(len(row.items) > 1 for row in cut.rows):
            batch = collate_shared(self._tokens, cut.rows, pad_id=self._pad_id)
        else:
            texts = [self._tokens[text] for text in order]
            batch = collate_padded(texts, pad_id=self._pad_id, positions=self._positions)
        return batch, targets_of(cut.judgements, order, self._table, self._heads)
