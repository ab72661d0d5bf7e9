"""Text to tokens: nothing doubled, nothing lost unsaid, and the response whole."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from guerdon.errors import DataError
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.encode import Encoder, Reading
from guerdon.types import Message, Overlong

WORDS = st.lists(st.sampled_from(["egg", "planet", "boil", "sorry", "煮", "好", "end", "\n"]), max_size=60).map(
    " ".join
)


def encoder_for(
    folder: str, rendering: Any, *, overlong: Overlong = "auto", **fields: Any
) -> tuple[Encoder, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    contract = ScoreContract(
        architecture="", rendering=rendering, pooling="last", max_length=100, ends_with_eos=False, pad_token_id=0
    )
    return Encoder(tokenizer, replace(contract, **fields), overlong), tokenizer


# --- what the model reads


def test_an_encoder_reads_prompt_and_response_as_two_segments(tiny_bert: str) -> None:
    encoder, tokenizer = encoder_for(tiny_bert, "pair")
    found = encoder.encode(["boil an egg"], ["it is good"]).tokens[0]
    theirs = tokenizer("boil an egg", "it is good")
    assert list(found.ids) == theirs["input_ids"]
    assert found.types is not None
    assert list(found.types) == theirs["token_type_ids"]


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"])
def test_a_chat_model_reads_its_own_template(name: str, request: pytest.FixtureRequest) -> None:
    encoder, tokenizer = encoder_for(request.getfixturevalue(name), "chat")
    found = encoder.encode(["boil an egg"], ["it is good"]).tokens[0]
    turns = [{"role": "user", "content": "boil an egg"}, {"role": "assistant", "content": "it is good"}]
    assert list(found.ids) == tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]


def test_bos_is_not_doubled(tiny_gemma_like: str) -> None:
    for rendering in ("chat", "plain"):
        encoder, tokenizer = encoder_for(tiny_gemma_like, rendering)
        ids = encoder.encode(["boil an egg"], ["it is good"]).tokens[0].ids
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids[0] == tokenizer.bos_token_id


def test_eos_ends_a_plain_text_once(tiny_gemma_like: str) -> None:
    encoder, tokenizer = encoder_for(tiny_gemma_like, "plain", ends_with_eos=True)
    ids = encoder.encode(["boil"], ["an egg"]).tokens[0].ids
    assert ids[-1] == tokenizer.eos_token_id
    # The same where the tokenizer appends EOS by itself.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", ids[0]), ("<eos>", ids[-1])]
    )
    assert encoder.encode(["boil"], ["an egg"]).tokens[0].ids.count(tokenizer.eos_token_id) == 1
    encoder, _ = encoder_for(tiny_gemma_like, "plain", ends_with_eos=False)
    assert tokenizer.eos_token_id not in encoder.encode(["boil"], ["an egg"]).tokens[0].ids


def test_a_string_and_one_user_turn_are_the_same_prompt(tiny_llama: str, tiny_bert: str) -> None:
    for folder, rendering in ((tiny_llama, "chat"), (tiny_llama, "plain"), (tiny_bert, "pair")):
        encoder, _ = encoder_for(folder, rendering)
        a, b = encoder.encode(["boil an egg", (Message("user", "boil an egg"),)], ["good", "good"]).tokens
        assert a == b


def test_many_texts_come_back_in_order(tiny_llama: str) -> None:
    encoder, tokenizer = encoder_for(tiny_llama, "plain")
    responses = [str(number) for number in range(2500)]  # more than the tokenizer is given at a time
    found = encoder.encode([""] * 2500, responses).tokens
    assert [tokenizer.decode(tokens.ids) for tokens in found] == responses


def test_a_chat_that_the_template_refuses_is_a_fault_of_the_data(tiny_llama: str) -> None:
    encoder, tokenizer = encoder_for(tiny_llama, "chat")
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(DataError, match="turns system, assistant: System role not supported"):
        encoder.encode([(Message("system", "Be brief."),)], ["Yes."])


def test_one_prompt_per_response(tiny_bert: str) -> None:
    encoder, _ = encoder_for(tiny_bert, "pair")
    with pytest.raises(ValueError, match="2 prompts and 1 responses"):
        encoder.encode(["a", "b"], ["c"])


# --- what is too long


@pytest.mark.parametrize(
    ("name", "rendering"),
    [
        ("tiny_bert", "pair"),
        ("tiny_roberta", "pair"),
        ("tiny_llama", "chat"),
        ("tiny_gemma_like", "chat"),
        ("tiny_gemma_like", "plain"),
    ],
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=WORDS, response=WORDS, limit=st.integers(10, 80))
def test_the_prompt_is_cut_on_its_left_and_the_response_stays_whole(
    request: pytest.FixtureRequest, name: str, rendering: str, prompt: str, response: str, limit: int
) -> None:
    folder = request.getfixturevalue(name)
    encoder, tokenizer = encoder_for(folder, rendering, max_length=limit, ends_with_eos=rendering == "plain")
    whole = replace_limit(encoder, 10_000).encode([prompt], [response])
    ids = whole.tokens[0].ids
    assert (whole.prompts_cut, whole.responses_cut) == (0, 0)
    bare = replace_limit(encoder, 10_000).encode([""], [response]).tokens[0].ids
    if len(bare) > limit:
        return  # see `test_what_does_not_fit_is_an_error_where_asked`
    cut = encoder.encode([prompt], [response])
    found = cut.tokens[0].ids
    assert len(found) == min(len(ids), limit)
    assert cut.prompts_cut == (len(found) < len(ids))
    said = " ".join(tokenizer.decode(whole_response(encoder, response)).split())
    assert " ".join(tokenizer.decode(found, skip_special_tokens=True).split()).endswith(said)
    if name == "tiny_gemma_like":
        assert found[0] == ids[0] == tokenizer.bos_token_id
    closing = {"pair": 1, "chat": 2, "plain": 1}[rendering]  # [SEP] or </s>; end of turn and newline; EOS
    assert found[-closing:] == ids[-closing:]


def replace_limit(encoder: Encoder, limit: int) -> Encoder:
    return Encoder(encoder.tokenizer, replace(encoder.contract, max_length=limit), encoder.overlong)


def whole_response(encoder: Encoder, response: str) -> list[int]:
    return list(encoder.tokenizer(response.strip(), add_special_tokens=False)["input_ids"])


def test_a_response_whose_words_close_the_turn_is_not_mistaken_for_it(tiny_llama: str) -> None:
    prompt, response = "boil an egg " * 20, "end"  # also in <|im_end|>
    encoder, tokenizer = encoder_for(tiny_llama, "chat", max_length=8)
    found = encoder.encode([prompt], [response]).tokens[0]
    assert len(found) == 8
    assert tokenizer.decode(found.ids).endswith("end<|im_end|>\n")


@pytest.mark.parametrize("overlong", ["auto", "cut"])
def test_cut_also_shortens_the_response_and_says_so(overlong: Overlong, tiny_bert: str) -> None:
    encoder, tokenizer = encoder_for(tiny_bert, "pair", overlong=overlong, max_length=10)
    found = encoder.encode(["boil", "boil"], ["egg " * 30 + "planet", "egg"])
    assert tokenizer.decode(found.tokens[0].ids) == "[CLS] [SEP] egg egg egg egg egg egg egg [SEP]"
    assert (found.prompts_cut, found.responses_cut) == (1, 1)
    assert found.cut_responses == (0,)
    assert list(found.warnings().values()) == [
        "1 of 2 prompts were cut on the left to fit max_length",
        "1 of 2 responses were cut at the end to fit max_length",
    ]


def test_what_does_not_fit_is_an_error_where_asked(tiny_bert: str) -> None:
    encoder, _ = encoder_for(tiny_bert, "pair", overlong="error", max_length=10)
    with pytest.raises(DataError, match="text 2: too long: response alone takes 33.*reads 10.*'egg.*--overlong cut$"):
        encoder.encode(["", ""], ["egg", "egg " * 30])
    with pytest.raises(DataError, match="prompt and response takes 14.*--overlong cut$"):
        encoder.encode(["egg " * 10], ["egg"])


REASONING = "<think>six sevens: 42</think>\n42"
TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
FINAL = "{% set text = m.content.split('</think>')[-1] %}{{ '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}"
DROPPING = "{% for m in messages %}" + FINAL + "{% endfor %}"
REWRITING = (
    "{% for m in messages %}"
    + TURN.replace("m.content", "m.content | replace('<think>', '[because ') | replace('</think>', '] ')")
    + "{% endfor %}"
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=WORDS, thought=WORDS, answer=WORDS, limit=st.integers(4, 40))
def test_no_template_gives_the_model_more_than_it_reads(
    tiny_llama: str, prompt: str, thought: str, answer: str, limit: int
) -> None:
    for template in (DROPPING, REWRITING):
        encoder, tokenizer = encoder_for(tiny_llama, "chat", max_length=limit)
        tokenizer.chat_template = template
        found = encoder.encode([prompt], [f"<think>{thought}</think>{answer}"])
        assert len(found.tokens[0]) <= limit


def test_a_long_prompt_does_not_make_a_short_response_long(tiny_llama: str) -> None:
    for template in (DROPPING, REWRITING):
        encoder, tokenizer = encoder_for(tiny_llama, "chat", max_length=100)
        tokenizer.chat_template = template
        found = encoder.encode(["boil an egg " * 200], [REASONING])
        assert (found.prompts_cut, found.responses_cut, len(found.tokens[0])) == (1, 0, 100)
        assert tokenizer.decode(found.tokens[0].ids).rstrip().endswith("42<|im_end|>")


def test_special_tokens_within_responses_are_told(tiny_llama: str) -> None:
    encoder, tokenizer = encoder_for(tiny_llama, "chat")
    tokenizer.chat_template = "{% for m in messages %}" + TURN + "{% endfor %}"
    found = encoder.encode(["egg?"] * 3, ["boil", f"boil{tokenizer.eos_token}\nuser", "|im_end|"])
    assert found.warnings()["control tokens"].startswith("1 of 3 responses contain special tokens of the model")
    assert "control tokens" not in encoder.encode([f"egg?{tokenizer.eos_token}"], ["boil"]).warnings()
    tokenizer.mask_token = "[MASK]"
    assert Encoder(tokenizer, encoder.contract, "auto").encode(["egg?"], ["boil [MASK]"]).warnings() == {}


def test_reasoning_that_the_template_drops_is_told_with_its_share_or_kept(tiny_llama: str) -> None:
    responses = [REASONING, REASONING.replace("six sevens: 42", "I guess"), "42"]
    encoder, tokenizer = encoder_for(tiny_llama, "chat")
    tokenizer.chat_template = DROPPING
    found = encoder.encode(["6 * 7?"] * 3, responses)
    assert found.tokens[0] == found.tokens[1]
    assert "leaves out parts of 2 of 3 responses (31% of the characters" in found.warnings()["dropped"]
    keeping, tokenizer = encoder_for(tiny_llama, "chat", keep_reasoning=True)
    tokenizer.chat_template = DROPPING
    kept = keeping.encode(["6 * 7?"] * 3, responses)
    assert len(set(kept.tokens)) == 3
    assert kept.tokens[2] == found.tokens[2]
    assert kept.warnings() == {}


# --- what the model cannot read


def test_unknown_tokens_bring_a_warning_with_their_share(tiny_bert: str) -> None:
    encoder, _ = encoder_for(tiny_bert, "pair")
    found = encoder.encode(["egg egg"], ["egg 龘"])
    assert (found.unknown, found.total) == (1, 4)
    (warning,) = found.warnings().values()
    assert "cannot read 25% of the text" in warning
    assert encoder.encode(["egg " * 9], ["龘"]).warnings() == {}, "few of them bring none"


def test_each_kind_of_loss_is_logged_once(tiny_bert: str, caplog: pytest.LogCaptureFixture) -> None:
    encoder, _ = encoder_for(tiny_bert, "pair", max_length=10)
    for _ in range(2):
        encoder.report(encoder.encode(["boil " * 30], ["egg"]))
    assert [record.message for record in caplog.records] == ["1 of 1 prompts were cut on the left to fit max_length"]
    encoder.report(encoder.encode(["boil " * 30], ["egg " * 30]))
    assert caplog.messages[1:] == ["1 of 3 responses were cut at the end to fit max_length"]
    assert (encoder.totals.texts, encoder.totals.prompts_cut) == (3, 3)
    encoder.report_totals()
    encoder.report_totals()
    assert caplog.messages[2:] == ["in all, 3 of 3 prompts were cut on the left to fit max_length"]
    assert encoder.totals + Reading() == encoder.totals


def test_a_byte_vocabulary_knows_every_text(tiny_llama: str, tiny_qwen: str) -> None:
    for folder in (tiny_llama, tiny_qwen):
        encoder, _ = encoder_for(folder, "chat")
        found = encoder.encode(["龘龘"], ["龘"])
        assert found.unknown == 0


# --- which token is of what


@pytest.mark.parametrize(
    ("name", "rendering"),
    [
        ("tiny_bert", "pair"),
        ("tiny_roberta", "pair"),
        ("tiny_llama", "chat"),
        ("tiny_gemma_like", "chat"),
        ("tiny_gemma_like", "plain"),
    ],
)
@pytest.mark.parametrize("limit", [100, 20])
def test_every_token_knows_its_characters(
    name: str, rendering: str, limit: int, request: pytest.FixtureRequest
) -> None:
    encoder, tokenizer = encoder_for(request.getfixturevalue(name), rendering, max_length=limit)
    prompt, response = "which is the largest planet ? boil an egg .", " it is good , good . "
    (found,) = encoder.locate([prompt], [response])
    assert found.tokens == encoder.encode([prompt], [response]).tokens[0]
    assert len(found.spans) == len(found.tokens)
    for part, text in (("prompt", found.prompt), ("response", response)):
        spans = [span for span in found.spans if span.part == part]
        assert all(a.stop <= b.start for a, b in itertools.pairwise(spans))
        read = "".join("".join(text[span.start : span.stop] for span in spans).split())
        assert "".join(text.split()).endswith(read)
        assert part == "prompt" or read == "".join(response.split())
    pairs = [(i, span) for i, span in enumerate(found.spans) if span.part == "response"]
    for i, span in pairs:
        assert tokenizer.decode([found.tokens.ids[i]]).strip().lstrip("#") == response[span.start : span.stop].strip()


def test_characters_are_those_of_the_response_where_the_template_changed_it(tiny_llama: str) -> None:
    for template in (DROPPING, REWRITING):
        encoder, tokenizer = encoder_for(tiny_llama, "chat")
        tokenizer.chat_template = template
        (found,) = encoder.locate(["6 * 7?"], [REASONING])
        last = [span for span in found.spans if span.part == "response"][-1]
        assert REASONING[last.start : last.stop] in ("42", "2")
        assert last.stop == len(REASONING)
