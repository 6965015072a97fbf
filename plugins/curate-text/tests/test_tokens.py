"""Token counts against longhand use of the tokenizer, and what a length would cut."""

import json

import polars as pl
import pytest

from curate.api import CurateError
from curate.services.models import resolve
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate_text.tokenizers import check_template

WORDS = ["the", "cat", "runs", "over", "a", "house", "and", "sleeps", "user", "assistant"]
CHAT = (
    "[CLS]{% for turn in messages %}"
    "{% if turn.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    " {{ turn.role }} {{ turn.content }} [SEP]{% endfor %}"
    "{% if add_generation_prompt %} assistant{% endif %}"
)
ROWS = [
    [("user", "the cat"), ("assistant", "runs over a house")],
    [("user", "the"), ("assistant", "cat"), ("user", "and the house"), ("assistant", "sleeps")],
    [("user", "the cat runs"), ("assistant", "over"), ("user", "a turn that nobody answers")],
    [("system", "a house"), ("user", "the cat")],
    [("assistant", "the cat sleeps")],
    [("user", "the cat " * 300), ("assistant", "")],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tokenizer without weights, whose file says that texts are cut and filled up."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: at for at, word in enumerate([*special, *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.add_special_tokens(special)
    plain.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    plain.enable_truncation(8)
    plain.enable_padding(length=8)
    made = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    made.chat_template = CHAT
    path = tmp_path_factory.mktemp("tokenizer")
    made.save_pretrained(path)
    return path


def counter(template):
    """A tokenizer of words with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from curate_text.tokenizers import Tokenizer as Counter

    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[SEP]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.add_special_tokens(["[PAD]", "[UNK]", "[SEP]"])
    made = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    made.chat_template = template
    return Counter(made)


def longhand(folder):
    """The tokenizer as transformers loads it, asked one text at a time and told not to cut."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def count(text, *, special):
        return len(tokenizer(text, add_special_tokens=special, truncation=False)["input_ids"])

    return tokenizer, count


def run(tmp_path, folder, rows=ROWS, **params):
    file = tmp_path / "rows.jsonl"
    turns = [[{"role": role, "content": said} for role, said in row] for row in rows]
    file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in turns))
    stage = {"score": "text.tokens", "id": "tok", "with": {"tokenizer": str(folder), **params}}
    recipe = {"name": "t", "sources": {"s": {"path": str(file)}}, "pipeline": [stage]}
    version = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    scores = version.frame().select("id", "messages").join(version.scores, on="id")
    assert scores["messages"].to_list() == turns  # rows stand in their order
    return version, scores


def counts(scores):
    return scores.select(pl.selectors.matches("^tok_(prompt|response|total)$")).rows()


def test_plain_texts(tmp_path, folder):
    _, count = longhand(folder)
    expected = []
    for row in ROWS:
        last = max((at for at, (role, _) in enumerate(row) if role == "assistant"), default=None)
        asked = "\n".join(said for _, said in (row if last is None else row[:last]))
        answer = "" if last is None else row[last][1]
        both = f"{asked}\n{answer}" if answer else asked
        expected.append(
            (
                count(asked, special=False),
                count(answer, special=False),
                count(both, special=True),
            )
        )
    _, scores = run(tmp_path, folder)
    assert counts(scores) == expected
    assert expected[-1][0] == 600  # more than the file's own limit


def test_chat_template(tmp_path, folder):
    tokenizer, _ = longhand(folder)

    def chat(row, *, answer):
        turns = [{"role": role, "content": said} for role, said in row]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=answer, return_dict=False)
        return len(ids)

    expected = []
    for row in ROWS:
        last = max((at for at, (role, _) in enumerate(row) if role == "assistant"), default=None)
        if last is None:
            total = prompt = chat(row, answer=False)
        else:
            total = chat(row[: last + 1], answer=False)
            prompt = chat(row[:last], answer=True) if last else 0
        expected.append((prompt, total - prompt, total))
    _, scores = run(tmp_path, folder, template="chat")
    assert counts(scores) == expected


def test_a_length_says_what_it_cuts_and_counts_nothing_anew(tmp_path, folder):
    version, scores = run(tmp_path, folder, max_length=8)
    total = scores["tok_total"]
    assert scores["tok_over"].to_list() == (total > 8).to_list()
    lost = [tokens - 8 for tokens in total if tokens > 8]
    assert len(lost) == 1
    (facts,) = version.manifest["stages"]
    assert facts["flags"] == {"over": 1}
    assert facts["notes"] == [
        f"{total.sum():,} tokens, at most {total.max()} in a row",
        f"at 8 tokens 1 row would be cut, by {sum(lost)} in all, {lost[0]} at the median and {lost[0]} at "
        "most",
    ]
    version, scores = run(tmp_path, folder, max_length=6)
    (facts,) = version.manifest["stages"]
    assert facts["counts"]["recalled"] == facts["memo"]["computed"] == len(ROWS)
    assert scores["tok_over"].to_list() == (scores["tok_total"] > 6).to_list()
    assert facts["flags"]["over"] > 1


def test_what_is_cut_is_told_by_the_median(tmp_path, folder):
    rows = [[("user", "the " * words), ("assistant", "cat")] for words in (10, 11, 100, 3)]
    version, scores = run(tmp_path, folder, rows, max_length=8)
    assert scores["tok_total"].to_list() == [13, 14, 103, 6]
    assert version.manifest["stages"][0]["notes"][1] == (
        "at 8 tokens 3 rows would be cut, by 106 in all, 6 at the median and 95 at most"
    )


TURNS = "{% for turn in messages %}{{ turn.role }} {{ turn.content }} [SEP] {% endfor %}"
THINKS = TURNS + "{% if add_generation_prompt %}assistant the house runs over{% endif %}"
NUMBERED = "{{ 'a ' * messages | length }}[SEP] " + TURNS
DONE = TURNS + (
    "{% if add_generation_prompt %}assistant the house{% else %}[PAD]{% endif %}"  # as Phi ends
)


@pytest.mark.parametrize("template", [THINKS, DONE])
@pytest.mark.parametrize(
    ("answer", "tokens"), [("", 1), ("cat", 2), ("a cat and a house", 6), ("the cat sleeps", 4)]
)
def test_a_template_that_asks_for_what_the_answer_lacks(template, answer, tokens):
    (prompt,), (total,) = counter(template).of_chats(
        [[{"role": "user", "content": "the cat"}, {"role": "assistant", "content": answer}]]
    )
    assert prompt == 5  # user the cat [SEP] assistant
    ended = "[PAD]" in template
    assert total - prompt == tokens + ended


def test_a_token_that_reaches_over_the_end_of_the_prompt():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from curate_text.tokenizers import Tokenizer as Counter

    vocabulary = {part: at for at, part in enumerate(["a", "b", "c", "bc", "abc"])}
    pairs = Tokenizer(models.BPE(vocab=vocabulary, merges=[("b", "c"), ("a", "bc")]))
    made = PreTrainedTokenizerFast(tokenizer_object=pairs)
    made.chat_template = (
        "{% for turn in messages %}{{ turn.content }}{% endfor %}"
        "{% if add_generation_prompt %}b{% endif %}"
    )
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}]
    assert Counter(made).of_texts(["ab", "abc"], special=False) == [2, 1]
    assert Counter(made).of_chats([chat]) == ([1], [1])


def test_a_thought_that_the_answer_has_is_of_the_prompt():
    """The tokens that the template gives are none that the model writes."""
    turns = [("user", "the"), ("assistant", "the house runs over a cat")]
    chat = [{"role": role, "content": said} for role, said in turns]
    assert counter(THINKS).of_chats([chat]) == ([8], [11])


def test_a_template_that_writes_earlier_turns_otherwise_is_refused():
    turns = [("user", "the"), ("assistant", "cat")]
    chat = [{"role": role, "content": said} for role, said in turns]
    with pytest.raises(ValueError, match="prompt and response cannot be told apart"):
        counter(NUMBERED).of_chats([chat])


def test_nothing_is_said_of_a_length_that_cuts_nothing(tmp_path, folder):
    version, scores = run(tmp_path, folder, max_length=10_000)
    assert not scores["tok_over"].any()
    assert len(version.manifest["stages"][0]["notes"]) == 1


def test_a_tokenizer_without_a_chat_template(tmp_path, folder):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CurateError, match="has no chat template") as raised:
        run(tmp_path, bare, template="chat")
    assert "template: plain" in raised.value.remedy
    run(tmp_path, bare)


@pytest.mark.parametrize(("named", "refused"), [("default", False), ("rag", True)])
def test_of_several_templates_the_default_is_used(tmp_path, folder, named, refused):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = [
        {"name": "tools", "template": "x"},
        {"name": named, "template": CHAT},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if refused:
        with pytest.raises(CurateError, match="has no chat template"):
            check_template(tmp_path, "mine")
    else:
        check_template(tmp_path, "mine")


def test_a_template_that_refuses_a_row_fails_that_row(tmp_path, folder):
    rows = [*ROWS[:2], [("user", "the"), ("tool", "cat"), ("assistant", "runs")]]
    with pytest.raises(CurateError, match="refuses the conversation: no tools"):
        run(tmp_path, folder, rows, template="chat")


def test_a_tokenizer_is_known_by_its_own_files(folder, tmp_path):
    from curate.plugins.registry import get_registry

    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "model.safetensors").write_bytes(b"weights")
    (copy / "README.md").write_text("About.")
    one, other = (
        resolve(f"tokenizer:{path}", get_registry(), download=False) for path in (folder, copy)
    )
    assert one.digest == other.digest
    (copy / "chat_template.jinja").write_text("other")
    assert resolve(f"tokenizer:{copy}", get_registry(), download=False).digest != one.digest
    with pytest.raises(CurateError, match=r"has no config\.json"):
        resolve(str(folder), get_registry(), download=False)  # as a model
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CurateError, match="has no fast tokenizer"):
        resolve(f"tokenizer:{copy}", get_registry(), download=False)


def test_the_alias_of_a_model_names_its_tokenizer(tmp_path):
    version, scores = run(tmp_path, "builtin:minilm")
    assert list(version.manifest["models"]) == ["tokenizer:builtin:minilm"]
    assert scores["tok_total"].max() > 512
