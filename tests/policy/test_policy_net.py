"""Log-probabilities of answers: those of a plain pass, and their gradients, however rows are shared and cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from guerdon.errors import ConfigError
from guerdon.policy.policy_net import PolicyNet, TokenizedGroup, pad_by_response, response_batches, token_logps

GROUPS = [
    TokenizedGroup((5, 6, 7, 8, 9), ((10, 11, 12), (10, 11, 13, 14), (15,))),
    TokenizedGroup((16, 17), ((18, 19), (18, 19))),
    TokenizedGroup((20, 21, 22), ((23, 24, 25, 26, 27, 28),)),
]
LONGEST = 6


def model_of(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


def logps_of(model: Any, *, shared: bool, budget: int) -> tuple[Tensor, int]:
    """(answers, LONGEST) in the order of the groups, and how many tokens were computed."""
    rows, computed, net = {}, 0, PolicyNet(model)
    for items, batch in response_batches(GROUPS, budget=budget, pad_id=0, shared=shared):
        table = pad_by_response(net(batch), batch, len(items), LONGEST)
        rows |= dict(zip(items, table, strict=True))
        computed += batch["input_ids"].numel()
    return torch.stack([rows[item] for item in range(len(rows))]), computed


def plain(model: Any) -> Tensor:
    rows = []
    for group in GROUPS:
        for answer in group.responses:
            logits = model(torch.tensor([[*group.prompt, *answer]])).logits[0, len(group.prompt) - 1 : -1].float()
            found = torch.log_softmax(logits, dim=1).gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)
            rows.append(torch.nn.functional.pad(found, (0, LONGEST - len(answer))))
    return torch.stack(rows)


@pytest.mark.parametrize("budget", [1, 14, 1000])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_values_and_gradients_are_those_of_a_plain_pass(
    name: str, shared: bool, budget: int, request: pytest.FixtureRequest
) -> None:
    model = model_of(request.getfixturevalue(name))
    weights = torch.linspace(-1, 1, len(plain(model)) * LONGEST).view(-1, LONGEST)

    def gradients(values: Tensor) -> list[Tensor]:
        model.zero_grad()
        (values * weights).sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    found, _ = logps_of(model, shared=shared, budget=budget)
    expected = plain(model)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for mine, theirs in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_sharing_computes_fewer_tokens(tiny_llama: str) -> None:
    model = model_of(tiny_llama)
    assert logps_of(model, shared=True, budget=1000)[1] < logps_of(model, shared=False, budget=1000)[1]


@pytest.mark.parametrize(("prompt", "response"), [(25, 128), (125, 45), (10, 300), (400, 200)])
def test_rows_have_the_length_that_costs_least(prompt: int, response: int) -> None:
    group = TokenizedGroup(tuple(range(prompt)), tuple((one, *[7] * (response - 1)) for one in range(8)))
    ((_, batch),) = response_batches([group], budget=10_000, pad_id=0, shared=True)
    held = batch["row"].bincount().div(response).long().tolist()
    costs = {k: (response + prompt / k) * (1 + 5e-4 * (prompt + k * response)) for k in range(1, 9)}
    assert sum(held) == 8
    assert costs[held[0]] < 1.01 * min(costs.values())


@pytest.mark.parametrize("temperature", [0, 1, 0.7])
def test_logps_are_those_of_the_softmax(temperature: float) -> None:
    logits = torch.randn(5, 9, requires_grad=True)
    taken = torch.tensor([0, 8, 3, 3, 1])
    expected = (logits / (temperature or 1)).softmax(dim=1)[range(5), taken].log()
    found = token_logps(logits, taken, temperature)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(one.sum(), logits)[0] for one in (found, expected)))


def test_which_models_read_groups(tiny_llama: str, tiny_sliding: str) -> None:
    assert PolicyNet(model_of(tiny_llama)).reads_groups
    assert not PolicyNet(model_of(tiny_sliding)).reads_groups


def test_capped_logits_are_not_passed_over(tiny_llama: str) -> None:
    """A model that does something to its logits is asked for them."""
    model = model_of(tiny_llama)
    expected = logps_of(model, shared=True, budget=1000)[0]
    model.config.final_logit_softcapping = 30.0  # Llama does not read it: the logits are as before
    torch.testing.assert_close(logps_of(model, shared=True, budget=1000)[0], expected)
    model.lm_head.register_forward_hook(lambda module, inputs, output: output * 2)
    assert not torch.allclose(logps_of(model, shared=True, budget=1000)[0], expected)


def test_only_the_last_layers_are_left_to_train(tiny_llama: str) -> None:
    net = PolicyNet(model_of(tiny_llama))
    with pytest.raises(ConfigError, match="has 2 layers; cannot train 3"):
        net.freeze_below(3)
    net.freeze_below(1)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".layers.1." in name for name in trained)
