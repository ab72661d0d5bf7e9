"""Hidden states of a frozen language model as features: what it makes of a response that it reads behind its prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from guerdon.metrics import Floats
from guerdon.packing import default_budget
from guerdon.policy.policy_net import PolicyNet, ResponseBatch, TokenizedGroup, response_batches
from guerdon.rewards.likelihood import PolicyFeatures, tokenized_groups
from guerdon.types import Prompt, Prompts, Responses, prompt_text

_PARTS = ("middle", "end")
_MOST_TOKENS = 512
"""A response is read so far: means of longer texts blur."""
_MOST_PROMPT = 1024
"""So many tokens of a prompt are read, its last ones."""


class DecoderFeatures(PolicyFeatures):
    """The mean of the hidden states of a response in the middle layer of a frozen decoder, and in the last.

    The decoder reads the response behind its prompt, as if it had written it; only states of the response count, so
    that what a prompt gives to all of its responses is left out. The middle layer knows more of style and quality, the
    last more of what comes next. A response that does not fit into the model's context has none.
    """

    kind: ClassVar[str] = "decoder"
    penalties: ClassVar[tuple[float, ...]] = (300.0, 3000.0, 30000.0)

    @property
    def width(self) -> int:
        """Of a hidden state."""
        return int(self.policy.model.config.get_text_config().hidden_size)

    def computed(self, prompts: Prompts, responses: Responses) -> tuple[Floats, Sequence[str]]:
        """The features of n responses, shape (n, 2 * width).

        The last 1,024 tokens of a prompt and the first 512 of a response are read.
        """
        groups, places, reasons = tokenized_groups(self.policy, prompts, responses)
        values = np.zeros((len(responses), len(_PARTS) * self.width))
        for items, states, batch in self._states(groups):
            means = _means_of_responses(states, batch, len(items))
            values[[places[item] for item in items]] = torch.cat([*means], dim=1).cpu().numpy()
        return values, reasons

    def _states(self, groups: Sequence[TokenizedGroup]) -> Iterator[tuple[list[int], Tensor, ResponseBatch]]:
        """Which responses a batch has, the states that predict each token, (2, tokens, width), and the batch."""
        cut = [
            TokenizedGroup(group.prompt[-_MOST_PROMPT:], tuple(own[:_MOST_TOKENS] for own in group.responses))
            for group in groups
        ]
        net, pad_id = PolicyNet(self.policy.model), self.policy.tokenizer.pad_token_id
        layers = (self.policy.model.config.get_text_config().num_hidden_layers // 2, -1)
        for items, batch in response_batches(cut, budget=default_budget(), pad_id=pad_id, shared=net.reads_groups):
            there = {name: tensor.to(self.policy.model.device) for name, tensor in batch.items()}
            with torch.inference_mode():
                yield items, net.hidden_states(there, layers), there

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats] | None:
        """Token by token. The prompt counts by what it makes of the response's tokens: its characters add nothing."""
        groups, _, _ = tokenized_groups(self.policy, [prompt], [response])
        coded = self.policy.tokenizer(response, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = coded["offset_mapping"][: _MOST_TOKENS - 1]
        if not groups or list(groups[0].responses[0][: len(spans)]) != coded["input_ids"][: len(spans)]:
            return None
        ((_, states, _),) = self._states(groups)
        values = torch.cat([*states], dim=1).double().cpu().numpy() @ weights
        found = np.zeros(len(response))
        for (start, stop), value in zip(spans, values[1:], strict=False):
            found[start:stop] += value / max(1, stop - start) / max(1, len(values) - 1)
        return np.zeros(len(prompt_text(prompt))), found

    def names(self) -> list[str]:
        """`middle 0` ..., `end 0` ...."""
        return [f"{part} {i}" for part in _PARTS for i in range(self.width)]


def _means_of_responses(states: Tensor, batch: ResponseBatch, count: int) -> Tensor:
    """Means over the tokens of each response, (layers, responses, hidden), of states that predict each token.

    The state that predicts the first token stands on the prompt, and is left out, but where it is the only one.
    """
    response, single = batch["response"], torch.bincount(batch["response"], minlength=count) == 1
    own = (batch["position"] > 0) | single[response]
    sums = states.new_zeros(len(states), count, states.shape[2], dtype=torch.float32)
    sums.index_add_(1, response[own], states[:, own].float())
    return sums / torch.bincount(response[own], minlength=count)[:, None]
