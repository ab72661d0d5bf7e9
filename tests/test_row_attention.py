"""Without a mask, padded on the right or packed, scores and gradients are those of padded rows with one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from guerdon.collation import Layout, TokenTable, collate, items_of
from guerdon.packing import lay_out
from guerdon.rewards.transformer import TransformerReward
from guerdon.row_attention import NAME, packs, unmasked
from guerdon.types import Prompt, prompt_text

PROMPTS: list[Prompt] = ["How do I boil an egg?"] * 3 + ["怎样煮鸡蛋？"] * 2 + ["Which planet is the largest?"]
RESPONSES = ["good", "a good answer " * 4, "rude", "polite water", "no " * 9, "the sun"]


def computed(reward: TransformerReward, layout: Layout) -> tuple[Tensor, list[Tensor]]:
    """Scores in the order of the texts, and the gradient of a loss of them, for every parameter."""
    table = TokenTable(reward.encode(PROMPTS, RESPONSES).tokens)
    keys = [prompt_text(prompt) for prompt in PROMPTS]
    rows = lay_out(table, range(len(keys)), keys, longest=200, shared=layout != "padded")
    batch = collate(table, rows, pad_id=reward.contract.pad_token_id, positions=True, layout=layout)
    scores = torch.empty(len(keys))
    scores[items_of(rows)] = reward.net(**batch)[:, 0]
    loss = (scores * torch.arange(1.0, 1 + len(keys))).sum()
    return scores.detach(), list(torch.autograd.grad(loss, [p for p in reward.net.parameters() if p.requires_grad]))


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
@pytest.mark.parametrize("recomputed", [False, True])
def test_every_layout_without_a_mask_gives_the_masked_score_and_gradient(
    name: str, recomputed: bool, request: pytest.FixtureRequest
) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    if recomputed:
        reward.net.recompute_activations()
        reward.net.train()  # the tiny models have no dropout
    expected, gradients = computed(reward, "padded")
    assert expected.std() > 0.05
    with unmasked(reward.net.classifier):
        assert reward.net.classifier.config._attn_implementation == NAME
        for layout in ("padded", "shared", "packed"):
            scores, found = computed(reward, layout)  # type: ignore[arg-type]
            torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)
            for mine, theirs in zip(found, gradients, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max() + 1))
    assert reward.net.classifier.config._attn_implementation == "sdpa"
    torch.testing.assert_close(computed(reward, "padded")[0], expected, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="packed batch"):
        computed(reward, "packed")


def test_a_cpu_packs_nothing() -> None:
    assert not packs(torch.device("cpu"), torch.bfloat16)
