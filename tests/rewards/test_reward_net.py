"""Scores and gradients do not depend on how sequences are laid out."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from guerdon.collation import Tokens, collate_padded, items_of
from guerdon.errors import ModelError
from guerdon.hf import Lora, head_names
from guerdon.losses import bradley_terry
from guerdon.packing import batches
from guerdon.rewards import reward_net as net_module
from guerdon.rewards.contract import Pooling
from guerdon.rewards.reward_net import RewardNet, head_sha256, output_layer, shares_prefixes, takes_positions, window
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Prompt, prompt_text

ENCODERS = ["tiny_bert", "tiny_roberta"]
SHARING = ["tiny_llama", "tiny_qwen"]
SLIDING = ["tiny_sliding", "tiny_gemma_like"]

Texts = tuple[list[Prompt], list[str]]


def reward_on(name: str, request: pytest.FixtureRequest) -> TransformerReward:
    reward = TransformerReward.create(request.getfixturevalue(name))
    reward.net.eval()
    return reward


def padded(reward: TransformerReward, tokens: Sequence[Tokens], *, left: bool) -> Tensor:
    positions = takes_positions(reward.net.classifier)
    batch = collate_padded(tokens, pad_id=reward.contract.pad_token_id, positions=positions, left=left)
    return reward.net(**batch)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [*[(n, "last") for n in SHARING + SLIDING], *[(n, p) for n in ENCODERS for p in ("mean", "native")]],
)
def test_alone_or_padded_on_either_side_the_score_is_the_same(
    name: str, pooling: Pooling, request: pytest.FixtureRequest, texts: Texts
) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name), pooling=pooling)
    tokens = reward.encode(*texts).tokens
    with torch.no_grad():
        alone = torch.cat([padded(reward, [sequence], left=False) for sequence in tokens])
        right = padded(reward, tokens, left=False)
        # Transformers' own path reads column 0 as the first token.
        left = right if pooling == "native" else padded(reward, tokens, left=True)
    assert alone.std() > 0.05, "a test of equal scores is worth nothing where all are equal"
    torch.testing.assert_close(right, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(left, alone, rtol=0, atol=1e-5)


def gradients(reward: TransformerReward, texts: Texts, *, shared: bool, budget: int) -> tuple[Tensor, list[Tensor]]:
    """Scores in the order of the texts, and the gradient of all pair losses within prompts, for every parameter."""
    prompts, _ = texts
    keys = [prompt_text(prompt) for prompt in prompts]
    tokens = reward.encode(*texts).tokens
    scores = torch.empty(len(tokens))
    cut = batches(
        tokens, range(len(tokens)), keys,
        budget=budget, pad_id=reward.contract.pad_token_id, shared=shared, positions=True,
    )  # fmt: skip
    rows = 0
    for laid_out, batch in cut:
        scores[items_of(laid_out)] = reward.net(**batch)[:, 0]
        rows += len(batch["input_ids"])
    assert (rows < len(tokens)) == shared
    better, worse = zip(
        *[(i, j) for i, a in enumerate(keys) for j, b in enumerate(keys) if i < j and a == b], strict=True
    )
    loss = bradley_terry(scores[list(better)], scores[list(worse)]).sum()
    parameters = [p for p in reward.net.parameters() if p.requires_grad]
    return scores.detach(), list(torch.autograd.grad(loss, parameters))


@pytest.mark.parametrize("name", SHARING)
def test_a_shared_prompt_gives_the_padded_score_and_gradient(
    name: str, request: pytest.FixtureRequest, texts: Texts
) -> None:
    reward = reward_on(name, request)
    assert reward.shares
    plain, expected = gradients(reward, texts, shared=False, budget=100_000)
    for budget in (150, 100_000):  # few and all texts of a prompt in one row
        scores, found = gradients(reward, texts, shared=True, budget=budget)
        torch.testing.assert_close(scores, plain, rtol=0, atol=1e-5)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max() + 1))
    assert max(float(g.abs().max()) for g in expected) > 0.01


@pytest.mark.parametrize(("name", "shares"), [*[(n, False) for n in ENCODERS + SLIDING], *[(n, True) for n in SHARING]])
def test_only_full_causal_attention_shares_prompts(name: str, shares: bool, request: pytest.FixtureRequest) -> None:
    assert reward_on(name, request).shares is shares


def test_a_window_that_is_switched_off_is_none(tiny_qwen: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_qwen, num_labels=1)
    model.config.sliding_window, model.config.use_sliding_window = 8, False
    assert shares_prefixes(model)
    model.config.use_sliding_window = True
    assert not shares_prefixes(model)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_texts_of_one_prompt_are_scored_alike_by_every_attention(attention: str, tiny_llama: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny_llama, num_labels=1, attn_implementation=attention
    )
    network, sequences = RewardNet(model, "last").eval(), [Tokens((5, 6, 7, 8, 9)), Tokens((5, 6, 7, 20))]
    shared = shares_prefixes(model)  # eager attention would read the other text too
    alone = torch.cat([network(**collate_padded([one], pad_id=0, positions=True)) for one in sequences])
    [(rows, batch)] = batches(sequences, [0, 1], ["", ""], budget=100, pad_id=0, shared=shared, positions=True)
    found = network(**batch)[torch.tensor(items_of(rows)).argsort()]
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SLIDING)
def test_a_sliding_window_does_hide_tokens(name: str, request: pytest.FixtureRequest) -> None:
    """The trap is there: with the mask of the shared layout these models would see further than they do."""
    reward = reward_on(name, request)
    tokens = reward.encode(["boil an egg " * 8] * 2, ["good", "bad"]).tokens
    with torch.no_grad():
        alone = padded(reward, tokens, left=False)
        cut = batches(tokens, [0, 1], ["", ""], budget=10_000, pad_id=0, shared=True, positions=True)
        laid_out, batch = next(cut)
        shared = reward.net(**batch)[items_of(laid_out)]
    assert (alone - shared).abs().max() > 1e-3


def test_the_pooled_token_is_the_last_of_the_text_where_pad_is_eos(tiny_llama: str) -> None:
    """The chat holds EOS inside, at its end, and as padding: none of them may move the pooled position."""
    reward = TransformerReward.create(tiny_llama)
    reward.net.eval()
    tokens = reward.encode(["boil an egg", "x"], ["good", "a much longer response than the other one"]).tokens
    reward.contract = dataclasses.replace(reward.contract, pad_token_id=reward.tokenizer.eos_token_id)
    assert tokens[0].ids.count(reward.tokenizer.eos_token_id) == 2
    with torch.no_grad():
        hidden = reward.net.classifier.model(torch.tensor([tokens[0].ids])).last_hidden_state
        expected = reward.net.classifier.score(hidden[0, -1])
        found = padded(reward, tokens, left=False)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("tiny_bert", "mean"), ("tiny_bert", "native"), ("tiny_roberta", "native"), ("tiny_llama", "last")],
)
def test_close_scores_do_not_tie_in_bfloat16(name: str, pooling: Pooling, request: pytest.FixtureRequest) -> None:
    """The logits are float32 also where the backbone is bfloat16, in which near scores fall together."""
    reward = TransformerReward.create(request.getfixturevalue(name), pooling=pooling)
    reward.to("cpu", "bfloat16")
    layer = output_layer(reward.net.classifier)
    assert layer is not None
    assert layer.weight.dtype == torch.float32
    assert next(reward.net.classifier.base_model.parameters()).dtype == torch.bfloat16
    tokens = reward.encode([""] * 40, ["egg " * number for number in range(40)]).tokens
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = padded(reward, tokens, left=False)[:, 0]
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())
    assert len(scores.unique()) > 30


def test_the_head_digest_changes_with_the_head_only(tiny_bert: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    before = head_sha256(model)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[5] += 1
    assert head_sha256(model) == before
    assert head_sha256(model.bfloat16().float()) != before
    model.classifier.reset_parameters()
    assert head_sha256(model) != before


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def small(name: str, **options: object) -> PreTrainedModel:
    """A random model of another family, in eval mode."""
    config = getattr(transformers, f"{name}Config")(vocab_size=40, num_labels=1, pad_token_id=0, **options)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    return model.eval()  # type: ignore[no-any-return]


FAMILIES: dict[str, dict[str, object]] = {
    "Bert": SMALL,
    "Roberta": SMALL,
    "Electra": SMALL | {"embedding_size": 16},
    "Albert": SMALL | {"embedding_size": 16},
    "DistilBert": {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2},
    "DebertaV2": SMALL | {"pooler_hidden_size": 16},
    "ModernBert": SMALL | {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "GPT2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    "GPTNeoX": SMALL,
    "OPT": {
        "hidden_size": 16,
        "ffn_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 16,
    },
    "Bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2},
    "Gemma2": SMALL | {"num_key_value_heads": 2, "head_dim": 8},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_trained_weight_of_a_family_has_a_gradient_and_padding_moves_nothing(family: str) -> None:
    """A weight without gradient would hang distributed training."""
    model = small(family, **FAMILIES[family])
    network = RewardNet(model, "last" if "score" in head_names(model) else "mean").eval()
    sequences = [Tokens((5, 6, 7, 8, 9)), Tokens((5, 6))]

    def scores(tokens: list[Tokens], left: bool = False) -> Tensor:
        return network(**collate_padded(tokens, pad_id=0, positions=takes_positions(model), left=left))

    found = scores(sequences)
    alone = torch.cat([scores([sequence]) for sequence in sequences])
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores(sequences, left=True), alone, rtol=0, atol=1e-5)
    found.sum().backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    if shares_prefixes(model):
        for _, batch in batches(sequences, [0, 1], ["", ""], budget=100, pad_id=0, shared=True, positions=True):
            torch.testing.assert_close(network(**batch), alone, rtol=0, atol=1e-5)


def test_a_model_without_a_known_head_is_refused() -> None:
    with pytest.raises(ModelError, match="no head that guerdon knows"):
        net_module._head(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "limit"), [("tiny_bert", 128), ("tiny_roberta", 512), ("tiny_llama", 512)])
def test_the_window_is_what_the_positions_allow(name: str, limit: int, request: pytest.FixtureRequest) -> None:
    reward = reward_on(name, request)
    assert window(reward.net.classifier, 10**30) == limit
    assert window(reward.net.classifier, 50) == 50
    with torch.no_grad():
        padded(reward, [Tokens((5,) * limit)], left=False)  # the longest text it claims to read


# --- encoders whose score reads the first token alone


@pytest.fixture(params=ENCODERS)
def first_reader(request: pytest.FixtureRequest) -> TransformerReward:
    """An encoder whose score reads the first token alone."""
    reward = TransformerReward.create(request.getfixturevalue(request.param), pooling="native")
    reward.net.eval()
    return reward


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many positions the feed-forward network of each layer got."""
    seen: list[int] = []

    def watch(module: torch.nn.Module, given: Any, _: Any) -> None:
        if type(module).__name__.endswith("Intermediate"):
            seen.append(given[0].shape[1])

    handle = torch.nn.modules.module.register_module_forward_hook(watch)
    yield seen
    handle.remove()


def batch_of(reward: TransformerReward, texts: Texts) -> Any:
    return collate_padded(reward.encode(*texts).tokens, pad_id=0, positions=False)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_first_token_alone_has_the_score_of_the_whole_layer(
    first_reader: TransformerReward,
    attention: str,
    texts: Texts,
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first_reader.net.classifier.set_attn_implementation(attention)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # so that nothing is left to rounding
    first_reader.net.double()
    batch = batch_of(first_reader, texts)
    whole = first_reader.net(**batch).detach()  # with gradients, as in training
    length = batch["input_ids"].shape[1]
    assert set(computed) == {length}
    computed.clear()
    with torch.no_grad():
        short = first_reader.net(**batch)
    assert computed[-1] == 1
    assert set(computed[:-1]) <= {length}
    assert whole.dtype == torch.float64
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-12)


def test_what_reads_every_token_gets_every_token(
    first_reader: TransformerReward, texts: Texts, computed: list[int]
) -> None:
    with torch.no_grad():
        batch = batch_of(first_reader, texts)
        first_reader.net.classifier(batch["input_ids"], batch["attention_mask"])  # not through the reward
        first_reader.net.pooling = "mean"
        first_reader.net(**batch)
    assert 1 not in computed


@pytest.mark.parametrize("name", ENCODERS)
def test_copies_and_adapters_compute_with_their_own_weights(
    name: str, request: pytest.FixtureRequest, texts: Texts
) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name), pooling="native", lora=Lora(rank=2))
    reward.net.eval()
    twin = copy.deepcopy(reward.net)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = batch_of(reward, texts)
    for net in (reward.net, twin):
        with torch.no_grad():
            short = net(**batch)
        torch.testing.assert_close(short, net(**batch).detach(), rtol=0, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(twin(**batch), reward.net(**batch))
