"""Every line of the page for those who come from data-juicer: run over rows with a known outcome.

The outcomes are written out from the definitions of data-juicer's operators, beside what the line
does here; where the two differ, the page has to say so.
"""

# ruff: noqa: RUF001 - text as it is found

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from chat_server import serving

import curate
from curate.errors import CurateError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-data-juicer.md").read_text()
TABLE = re.compile(
    r"^\| data-juicer \| here \| difference \|\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE
)
CELL = re.compile(r"(?<!\\)\|")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
STATS = {"score": "text.stats", "id": "t"}


@dataclass(frozen=True)
class Line:
    """A line of the page's tables: the operator, its parameters, what stands here, what differs."""

    operator: str
    params: Mapping[str, object]
    steps: Sequence[dict[str, object]]
    difference: str
    path: str = ""
    here: str = ""

    @property
    def same(self):
        """Whether the page says that nothing differs."""
        return self.difference.startswith("none")


def cut(condition):
    return {"filter": "core.where", "with": {"keep": condition}}


def line_of(text):
    cells = [cell.strip().replace(r"\|", "|") for cell in CELL.split(text)[1:-1]]
    operator, *params = CODE.findall(cells[0])
    steps, path = [], ""
    for code in CODE.findall(cells[1]):
        if code.startswith("{path:"):
            path = yaml.safe_load(code)["path"]
        elif code.startswith("{"):
            steps.append(yaml.safe_load(code))
        else:
            if re.search(r"\bt_", code):
                steps.append(STATS)
            steps.append(cut(code))
    theirs = yaml.safe_load(params[0]) if params else {}
    return Line(operator, theirs, steps, cells[2], path, cells[1])


LINES = {
    line.operator: line
    for table in TABLE.findall(PAGE)
    for line in map(line_of, table.splitlines())
}


@dataclass(frozen=True)
class Cut:
    """A line that drops rows.

    Attributes:
        rows: Texts, or fields of rows.
        there: Which of them data-juicer keeps.
        other: Which of them are kept there and dropped here, or the other way round.
    """

    rows: Sequence[str | Mapping[str, object]]
    there: set[int]
    other: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Change:
    """A line that changes texts: each before, after in data-juicer, and after here.

    None: the row is dropped.
    """

    texts: Sequence[tuple[str, str, str | None]]


@dataclass(frozen=True)
class Groups:
    """A line that keeps one row of each group: those of data-juicer, and those here."""

    rows: Sequence[str]
    there: Sequence[set[int]]
    here: Sequence[set[int]]


SEA = (
    "The harbour was quiet in the morning and only the gulls were awake when the first boat came "
    "in from the islands with its nets full of small silver fish and two tired men who said that "
    "the wind had turned"
)
LONG = "x" * 50
TEN = "one two three four five six seven eight nine ten"
CASES = {
    "language_id_score_filter": Cut(
        [
            "The committee will meet again on Thursday to talk about the new budget.",
            "Der Ausschuss trifft sich am Donnerstag wieder, um über den Haushalt zu sprechen.",
        ],
        {0},
    ),
    "alphanumeric_filter": Cut(["a---", "a----", "", "é1.-----"], {0, 3}),
    # runs of 10: 2 of 11 twice; one run 21 times; 2 of 4; 2 of 3
    "character_repetition_filter": Cut(
        ["abcdefghij" * 2, "a" * 30, "a" * 11 + "bc", "a" * 11 + "b", "short", ""], {0, 2, 4, 5}
    ),
    "maximum_line_length_filter": Cut(
        ["0123456789\nx", "012345678\n012345678", "", "0123456789\r\n"], {0, 3}
    ),
    "word_repetition_filter": Cut(
        [f"{TEN} {TEN}", "Ja ja. " * 6, "ja " * 11 + "b c", "ja " * 11 + "b", "ja", "1 " * 12],
        {0, 2, 4, 5},
        other={5},
    ),
    "words_num_filter": Cut([TEN, TEN[:-4], "1 2 3 4 5 6 7 8 9 10", ""], {0}, other={2}),
    "average_line_length_filter": Cut(
        ["012345678\n0123456789", "01234567\n0123456789", "", "0123456789"], {0, 3}
    ),
    "flagged_words_filter": Cut(
        ["asshole " + "word " * 22, "asshole " + "word " * 21, "words", ""], {0, 2, 3}
    ),
    "text_length_filter": Cut(["0123456789", "012345678", "\U0001f600" * 10, ""], {0, 2}),
    "special_characters_filter": Cut(
        ["abc.", "abc. ", "abcd1", "abc1 ", "abc\U0001f600", "ツツツツ", ""],
        {0, 2, 4, 6},
        other={5, 6},
    ),
    "stopwords_filter": Cut(
        [
            "The, and of cat dog tree house river stone cloud",
            "the and tiger cat dog tree house river stone cloud",
            "",
        ],
        {0},
    ),
    "suffix_filter": Cut(
        [{"file": "a.jsonl", "text": "one"}, {"file": "b.json", "text": "two"}], {0}
    ),
    "punctuation_normalization_mapper": Change(
        [
            ("“So”—it’s here…", '"So" - it\'s here...', '"So" - it\'s here...'),
            ("你好，（世界）！《书》。", '你好,(世界)!"书".', '你好,(世界)!"书".'),
            ("１ ‘a’", "\" ‘a'", "１ 'a'"),
        ]
    ),
    "fix_unicode_mapper": Change(
        [
            ("schÃ¶n", "schön", "schön"),
            ("“a” ﬁne &amp; e\u0301", '"a" fine & é', "“a” ﬁne &amp; e\u0301"),
        ]
    ),
    "whitespace_normalization_mapper": Change(
        [
            ("a\u00a0b\n\n", "a b", "a b"),
            ("a\tb \nc", "a b \nc", "a\tb\nc"),
            ("a\u200bb", "a b", "ab"),
        ]
    ),
    "clean_email_mapper": Change(
        [
            ("Write to ann@corp.de, please", "Write to , please", "Write to <email-1>, please"),
            ("ann@example.com", "", "ann@example.com"),
        ]
    ),
    "clean_links_mapper": Change(
        [
            ("See https://a.org/b?c=1, or", "See , or", "See <link-1>, or"),
            ("a.org/bc and note:this", " and ", "a.org/bc and note:this"),
        ]
    ),
    "clean_copyright_mapper": Change(
        [
            ("/* Copyright 2020 Ann */int a;", "int a;", None),
            ("# first\nx = 1", "x = 1", "# first\nx = 1"),
            ("No copyright.", "No copyright.", "No copyright."),
        ]
    ),
    "clean_html_mapper": Change(
        [
            ("a <b>big</b> word", "a big word", "a big word"),
            ("Tom &amp; Ann", "Tom & Ann", "Tom & Ann"),
            ("one<br>two", "onetwo", "one\ntwo"),
            ("<div>in</div>", "in", "<div>in</div>"),
        ]
    ),
    "remove_long_words_mapper": Change(
        [(f"a {LONG} b", f"a {LONG} b", f"a {LONG} b"), (f"a {LONG}x b", "a b", None)]
    ),
    "remove_words_with_incorrect_substrings_mapper": Change(
        [
            ("see www.a.org now", "see now", None),
            ("and a//b so", "and so", None),
            ("plain.  words", "plain. words", "plain.  words"),
        ]
    ),
    "document_deduplicator": Groups(
        ["Name three rivers!", "name 3 three rivers", "Name four rivers", "a–b", "ab"],
        there=[{0, 1}, {2}, {3}, {4}],
        here=[{0, 1}, {2}, {3, 4}],
    ),
    "document_minhash_deduplicator": Groups(
        [SEA, SEA.upper() + " again", TEN], there=[{0, 1}, {2}], here=[{0, 1}, {2}]
    ),
    "document_simhash_deduplicator": Groups(
        [SEA, SEA.replace(" and", ", and").upper() + "!", TEN],
        there=[{0, 1}, {2}],
        here=[{0, 1}, {2}],
    ),
    "token_num_filter": Cut([TEN, TEN[:-9], "one two three four five six seven"], {0}, other={1}),
    "clean_ip_mapper": Change(
        [("from 84.23.101.7 on", "from  on", "from <ip-1> on"), ("192.168.0.1", "", "192.168.0.1")]
    ),
    "specified_field_filter": Cut(
        [
            {"text": "a", "kind": "news"},
            {"text": "b", "kind": "ads"},
            {"text": "c", "kind": "blog"},
        ],
        {0, 2},
    ),
    "tags_specified_field_selector": Cut(
        [{"text": "a", "kind": "news"}, {"text": "b", "kind": "ads"}], {0}
    ),
    "specified_numeric_field_filter": Cut([{"text": "a", "n": n} for n in (3, 2.5, 4)], {0, 2}),
    "topk_specified_field_selector": Cut([{"text": "a", "n": n} for n in (5, 1, 9, 3)], {0, 2}),
    "range_specified_field_selector": Cut(
        [{"text": "a", "n": n} for n in (5, 1, 9, 3, 7)], {0, 3, 4}
    ),
    "replace_content_mapper": Change(
        [("Page 12: on", ": on", None), ("Pages: on", "Pages: on", "Pages: on")]
    ),
    "remove_specific_chars_mapper": Change([("● one", " one", None), ("one", "one", "one")]),
}
MODELS = {
    "perplexity_filter",
    "instruction_following_difficulty_filter",
    "llm_quality_score_filter",
    "random_selector",
}
"""Lines whose outcome no definition says: each has a test of its own."""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ran(line, rows, tmp_path, form="text"):
    """The version of a line over rows, which are numbered."""
    files = {}
    for number, row in enumerate(rows):
        made = {"text": row} if isinstance(row, str) else dict(row)
        files.setdefault(made.pop("file", "rows.jsonl"), []).append({**made, "row": number})
    for name, held in files.items():
        lines = (json.dumps(row) for row in held)
        whole = json.dumps(held) if name.endswith(".json") else "\n".join(lines)
        (tmp_path / name).write_text(whole)
    paths = line.path or [str(tmp_path / name) for name in files]
    sources = {"rows": {"path": paths, "format": form}}
    steps = list(line.steps) or [{"filter": "dedup.exact"}]
    recipe = {"name": "line", "sources": sources, "pipeline": steps}
    return curate.run(recipe, out=tmp_path / "curated")


def kept(version):
    return set(version.frame()["row"].to_list())


def asking(line, **params):
    """The line with other values of some parameters, such as a model that lies here."""
    steps = [
        {**step, "with": {**step["with"], **params}} if "score" in step else step
        for step in line.steps
    ]
    return Line(line.operator, line.params, steps, line.difference)


def test_every_line_has_a_case_and_every_case_a_line():
    assert sum(len(table.splitlines()) for table in TABLE.findall(PAGE)) == len(LINES)
    assert set(LINES) == set(CASES) | MODELS
    most_used = PAGE[PAGE.index("## The 25 most used") : PAGE.index("## Others that you may have")]
    assert sum(len(table.splitlines()) for table in TABLE.findall(most_used)) == 25
    assert all(line.steps or line.path for line in LINES.values())


OTHER_NUMBERS = {
    ("perplexity_filter", "max_ppl"): 100,  # of another model
    ("remove_long_words_mapper", "max_len"): 51,  # the first length that is too long
    ("range_specified_field_selector", "lower_rank"): 3,  # its distance from the upper one
    ("llm_quality_score_filter", "min_score"): 2.5,  # of 5, not of 1
}
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@pytest.mark.parametrize("operator", LINES)
def test_the_numbers_of_a_line_are_those_of_its_operator(operator):
    line = LINES[operator]
    here = [float(number) for number in NUMBER.findall(line.here)]
    for name, value in line.params.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            other = OTHER_NUMBERS.get((operator, name))
            assert (value if other is None else other) in here
            assert other is None or not line.same


@pytest.mark.parametrize(
    "operator", [name for name, case in CASES.items() if isinstance(case, Cut)]
)
def test_what_stays(operator, tmp_path):
    line, case = LINES[operator], CASES[operator]
    if operator == "token_num_filter":
        line = asking(line, tokenizer="builtin:minilm")
    assert kept(ran(line, case.rows, tmp_path)) == case.there ^ case.other
    assert not (case.other and line.same)


@pytest.mark.parametrize(
    "operator", [name for name, case in CASES.items() if isinstance(case, Change)]
)
def test_what_a_text_becomes(operator, tmp_path):
    line, case = LINES[operator], CASES[operator]
    frame = ran(line, [before for before, _, _ in case.texts], tmp_path).frame()
    found = dict(frame.select("row", "text").iter_rows())
    here = {row: text for row, (_, _, text) in enumerate(case.texts) if text is not None}
    assert found == here
    gone = len(here) < len(case.texts)
    assert gone == ("no counterpart" in line.difference)
    assert line.same == all(there == text for _, there, text in case.texts)


@pytest.mark.parametrize(
    "operator", [name for name, case in CASES.items() if isinstance(case, Groups)]
)
def test_one_of_each_group_stays(operator, tmp_path):
    line, case = LINES[operator], CASES[operator]
    stays = kept(ran(line, case.rows, tmp_path))
    assert sorted(len(stays & group) for group in case.here) == [1] * len(case.here)
    assert stays <= set().union(*case.here)
    assert list(case.there) == list(case.here) or not line.same


def uniform(folder, size):
    """A decoder to which each of `size` words is as likely as every other: perplexity `size`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<s>", "<unk>", *TEN.split()])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", unk_token="<unk>", model_max_length=256
    )
    sizes = {"vocab_size": size, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    sizes |= {"num_attention_heads": 1, "max_position_embeddings": 256, "bos_token_id": 0}
    model = LlamaForCausalLM(LlamaConfig(**sizes))
    model.lm_head.weight.data.zero_()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def test_a_perplexity(tmp_path):
    line = asking(LINES["perplexity_filter"], model=uniform(tmp_path / "likely", 99))
    assert kept(ran(line, [TEN, "two one two"], tmp_path)) == {0, 1}
    line = asking(line, model=uniform(tmp_path / "unlikely", 101))
    with pytest.raises(CurateError, match="Nothing was kept"):
        ran(line, [TEN, "two one two"], tmp_path)


def test_a_difficulty(tmp_path):
    # to this model an instruction changes nothing: every score is 1, the edge of the cut
    line = asking(
        LINES["instruction_following_difficulty_filter"], model=uniform(tmp_path / "model", 99)
    )
    rows = [{"instruction": TEN, "output": "one two"}, {"instruction": "one", "output": TEN}]
    version = ran(line, rows, tmp_path, "alpaca")
    assert version.scores["ifd_score"].to_list() == [1, 1]
    assert kept(version) == {0, 1}
    below = Line(line.operator, {}, [line.steps[0], cut("ifd_score < 1")], "")
    with pytest.raises(CurateError, match="Nothing was kept"):
        ran(below, rows, tmp_path, "alpaca")


def test_a_rating(tmp_path, monkeypatch):
    def reply(body):
        return json.dumps({"rating": 2.5 if "right" in body["messages"][-1]["content"] else 2})

    monkeypatch.setenv("OPENAI_API_KEY", "of a toy")
    line = LINES["llm_quality_score_filter"]
    rows = [{"instruction": "Say.", "output": said} for said in ("all right", "all wrong")]
    with serving(reply=reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert kept(ran(line, rows, tmp_path, "alpaca")) == {0}


THRESHOLDS = {
    "alphanumeric_filter": "t_alnum >= {min_ratio}",
    "character_repetition_filter": "t_char_repetition <= {max_ratio}",
    "flagged_words_filter": "t_flagged <= {max_ratio}",
    "maximum_line_length_filter": "t_longest_line >= {min_len}",
    "text_length_filter": "t_characters >= {min_len}",
}


def test_the_whole_recipe_is_the_one_of_the_page():
    (theirs,) = [yaml.safe_load(block) for block in BLOCKS if "\nprocess:\n" in block]
    named = {name: params for step in theirs["process"] for name, params in step.items()}
    assert set(named) <= set(LINES)
    ours = yaml.safe_load((ROOT / "recipes" / "refine_alpaca_cot.yaml").read_text())
    exact, stats, where, near = ours["pipeline"]
    assert exact["with"]["normalize"] == ["case", "letters"]
    assert stats["with"]["char_n"] == named["character_repetition_filter"]["rep_len"]
    terms = [term.strip() for term in where["with"]["keep"].split("AND")]
    assert terms == [form.format(**named[name]) for name, form in THRESHOLDS.items()]
    assert near["with"]["size"] == named["document_simhash_deduplicator"]["window_size"]


def test_query_response_and_history_are_read_by_their_names(tmp_path):
    mapping = yaml.safe_load(re.search(r"`(columns: \{instruction: query.*?\})`", PAGE)[1])
    row = {"query": "And now?", "response": "Now this.", "history": [["First?", "That."]]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    sources = {"rows": {"path": "rows.jsonl", **mapping}}
    recipe = {"name": "named", "sources": sources, "pipeline": [{"filter": "dedup.exact"}]}
    (turns,) = curate.run(recipe).frame()["messages"].to_list()
    assert [turn["content"] for turn in turns] == ["First?", "That.", "And now?", "Now this."]


def test_a_random_selection(tmp_path):
    assert len(kept(ran(LINES["random_selector"], list("abcde"), tmp_path))) == 2
