"""What the model reads of an example: chat templates, the Alpaca prompt, and their fingerprints."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from curate.api import CurateError, ModelFiles, Pass
from curate_embed.forward import ForwardService
from curate_embed.pooling import SentenceReader
from curate_embed.templates import chat_template, renderer, said

USER = {"role": "user", "content": "the cat"}
ANSWER = {"role": "assistant", "content": "runs"}
MORE = {"role": "user", "content": "and then"}
LAST = {"role": "assistant", "content": "sleeps"}
TURNS = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def wanted(folder, **options):
    return Pass(ModelFiles(str(folder), folder, None, str(folder)), **options)


def chats(*conversations):
    return pl.DataFrame({"messages": list(conversations)}, schema={"messages": TURNS})


def mean():
    return SentenceReader("mean", True)


def test_turns_that_are_read():
    every = [USER, ANSWER, MORE, LAST, MORE]
    assert said(every, both=True) == every[:4]
    assert said(every, both=False) == every[:3]
    assert said([USER, MORE], both=True) == said([USER, MORE], both=False) == [USER, MORE]


def test_chat_text_is_the_template_filled_in(tiny, tokenizer):
    both, specials = renderer(wanted(tiny["bert"], template="chat"), tokenizer["bert"])
    assert not specials
    assert both(([USER, ANSWER],)) == "[CLS] user the cat [SEP] assistant runs [SEP] "
    prompt, _ = renderer(
        wanted(tiny["bert"], template="chat", text="instruction"), tokenizer["bert"]
    )
    assert prompt(([USER, ANSWER],)) == "[CLS] user the cat [SEP] assistant"


@pytest.mark.parametrize("text", ["both", "instruction"])
def test_chat_has_the_values_of_its_text_without_doubled_specials(tiny, passing, collect, text):
    rows = chats([USER, ANSWER], [USER, ANSWER, MORE, LAST])
    (found,), _ = collect(passing(tiny["bert"], template="chat", text=text), rows, mean())
    # as plain text the tokenizer adds [CLS] in front and [SEP] behind by itself
    plain = {
        "both": [
            "user the cat [SEP] assistant runs",
            "user the cat [SEP] assistant runs [SEP] user and then [SEP] assistant sleeps",
        ],
        "instruction": [
            "user the cat [SEP] assistant",
            "user the cat [SEP] assistant runs [SEP] user and then [SEP] assistant",
        ],
    }[text]
    (expected,), _ = collect(passing(tiny["bert"]), plain, mean())
    if text == "both":
        assert np.array_equal(found, expected)
    else:  # the prompt ends where the answer begins, so here [SEP] is one too many
        assert not np.array_equal(found, expected)


def test_the_prompt_ends_with_the_generation_prompt(tiny, passing):
    model = passing(tiny["bert"], template="chat", text="instruction")
    (text,), _ = model._tokenise([([USER, ANSWER],)], 0)
    tokens = model._loaded.tokenizer.convert_ids_to_tokens(text.ids.tolist())
    assert tokens == ["[CLS]", "user", "the", "cat", "[SEP]", "assistant"]


def test_rows_that_the_template_refuses_come_last_as_an_error(tiny, passing):
    tool = {"role": "tool", "content": "red"}
    rows = chats([USER, ANSWER], [tool, ANSWER], [MORE, LAST])
    found, run = [], passing(tiny["bert"], template="chat").run(rows, [mean()])
    with pytest.raises(ValueError, match="template does not take this row: no tools"):
        found.extend(at for positions, _, _ in run for at in positions.tolist())
    assert sorted(found) == [0, 2]
    empty = passing(tiny["bert"], template="chat", text="instruction")
    with pytest.raises(ValueError, match="template does not take this row"):
        list(empty.run(chats([ANSWER]), [mean()]))


def test_alpaca_prompt(tiny, passing, collect):
    prompt = (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\n{}\n\n### Response:\n{}"
    )
    rows = pl.DataFrame({"@instruction": ["the {cat}", "dog"], "@response": ["runs {0}", ""]})
    texts = [prompt.format("the {cat}", "runs {0}"), prompt.format("dog", "")]
    render, specials = renderer(wanted(tiny["bert"], template="alpaca"), None)
    assert specials
    assert [render(row) for row in rows.rows()] == texts
    (found,), _ = collect(passing(tiny["bert"], template="alpaca"), rows, mean())
    (expected,), _ = collect(passing(tiny["bert"]), texts, mean())
    assert np.array_equal(found, expected)
    alone = rows.select("@instruction")
    model = passing(tiny["bert"], template="alpaca", text="instruction")
    (found,), _ = collect(model, alone, mean())
    (expected,), _ = collect(passing(tiny["bert"]), [prompt.format("the {cat}", "")], mean())
    assert np.array_equal(found[:1], expected)


def test_fingerprints_tell_tokenizers_and_templates_apart(tiny, tmp_path):
    service = ForwardService()
    plain = service.fingerprints(wanted(tiny["bert"]))
    alpaca = service.fingerprints(wanted(tiny["bert"], template="alpaca"))
    chat = service.fingerprints(wanted(tiny["bert"], template="chat"))
    assert plain.keys() == {"tokenizer", "template"}
    assert len({each["template"] for each in (plain, alpaca, chat)}) == 3
    assert len({each["tokenizer"] for each in (plain, alpaca, chat)}) == 1
    assert service.fingerprints(wanted(tiny["bert"], text="response", max_length=9)) == plain
    assert service.fingerprints(wanted(tiny["gpt2"]))["tokenizer"] != plain["tokenizer"]
    other = shutil.copytree(tiny["bert"], tmp_path / "other")
    (other / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert service.fingerprints(wanted(other)) == plain
    changed = service.fingerprints(wanted(other, template="chat"))
    assert changed["template"] != chat["template"]
    assert changed["tokenizer"] == chat["tokenizer"]


def test_where_a_chat_template_stands(tiny, tmp_path):
    config = tmp_path / "tokenizer_config.json"
    with pytest.raises(CurateError, match="has no chat template"):
        chat_template(tmp_path, "a model")
    config.write_text(json.dumps({"chat_template": "one"}))
    assert chat_template(tmp_path, "a model") == "one"
    named = [{"name": "tools", "template": "two"}, {"name": "default", "template": "three"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert chat_template(tmp_path, "a model") == "three"
    config.write_text(json.dumps({"chat_template": named[:1]}))
    with pytest.raises(CurateError, match="has no chat template"):
        chat_template(tmp_path, "a model")
    (tmp_path / "chat_template.jinja").write_text("four")
    assert chat_template(tmp_path, "a model") == "four"
    with pytest.raises(CurateError, match="has no chat template"):
        ForwardService().fingerprints(wanted(tiny["gpt2"], template="chat"))
