"""The journal of answers: whole lines only, of any number of processes."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from curate.answers import Answer, Call, Usage
from curate.errors import CurateError
from curate.memo.answers import Journal, answer_key

ADDRESS = "http://127.0.0.1/v1"


def call(text, **more):
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 3}
    return Call(body, **more)


def key(text, address=ADDRESS, **more):
    return answer_key(address, call(text, **more))


def put(journal, text, said, **more):
    journal.add(key(text, **more), call(text, **more), Answer(said, "stop", Usage(1, 2), "m-1"))


def logs(folder):
    return sorted(folder.glob("llm/answer-*/log-*.jsonl"))


def test_an_answer_is_found_again_as_it_was(tmp_path):
    said = 'lines\nand "quotes"\u2028 \U0001f600 \x00'
    journal = Journal(tmp_path, ADDRESS, "m")
    assert journal.find(key("a")) is None
    put(journal, "a", said)
    assert journal.find(key("a")) == Answer(said, "stop", Usage(1, 2), "m-1")
    assert Journal(tmp_path, ADDRESS, "m").find(key("a")).text == said
    assert Journal(tmp_path, ADDRESS, "other").find(key("a")) is None
    journal.close()


def test_every_part_of_a_question_is_in_the_key():
    keys = {
        key("a"),
        key("b"),
        key("a", sample=1),
        key("a", reask=1),
        key("a", address="http://127.0.0.2/v1"),
        answer_key(ADDRESS, Call(call("a").body | {"temperature": 0.5})),
    }
    assert len(keys) == 6


def test_a_torn_line_is_no_answer_and_no_error(tmp_path):
    journal = Journal(tmp_path, ADDRESS, "m")
    for text in "abc":
        put(journal, text, text * 3)
    journal.close()
    (log,) = logs(tmp_path)
    whole = log.read_bytes()
    third = whole.rindex(b"\n", 0, -1) + 1
    for end in range(third, len(whole)):
        log.write_bytes(whole[:end])
        again = Journal(tmp_path, ADDRESS, "m")
        assert [again.find(key(text)) is not None for text in "abc"] == [True, True, False]
    put(again, "c", "new")  # in a file of its own: the torn one is never written to again
    again.close()
    assert Journal(tmp_path, ADDRESS, "m").find(key("c")).text == "new"
    assert log.read_bytes() == whole[:-1]


def test_a_line_that_is_whole_and_no_answer_is_passed_over(tmp_path):
    journal = Journal(tmp_path, ADDRESS, "m")
    put(journal, "a", "x")
    journal.close()
    (log,) = logs(tmp_path)
    log.write_bytes(b'\x00\x00\x00\n{"key": 3}\n[]\n' + log.read_bytes())
    assert Journal(tmp_path, ADDRESS, "m").find(key("a")).text == "x"


def test_what_others_write_is_seen_while_they_write(tmp_path):
    one, two = Journal(tmp_path, ADDRESS, "m"), Journal(tmp_path, ADDRESS, "m")
    put(one, "a", "first")
    assert two.find(key("a")).text == "first"
    put(two, "b", "second")
    put(one, "c", "third")
    assert [one.find(key("b")).text, two.find(key("c")).text] == ["second", "third"]
    put(two, "a", "later")
    one.close()
    two.close()
    assert Journal(tmp_path, ADDRESS, "m").find(key("a")).text == "first"


def test_many_threads_and_processes_lose_nothing(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from curate.answers import Answer, Call\n"
        "from curate.memo.answers import Journal, answer_key\n"
        "journal = Journal(Path(sys.argv[1]), 'here', 'm')\n"
        "def put(n):\n"
        "    call = Call({'n': n, 'by': sys.argv[2]})\n"
        "    journal.add(answer_key('here', call), call, Answer('x' * (n * 97 % 5000)))\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    list(pool.map(put, range(150)))\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen([*arguments, name]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    journal = Journal(tmp_path, "here", "m")
    calls = [Call({"n": n, "by": name}) for n in range(150) for name in "abc"]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: journal.find(answer_key("here", each)), calls))
    assert [answer.text for answer in found] == ["x" * (c.body["n"] * 97 % 5000) for c in calls]
    assert len(logs(tmp_path)) == 3


def test_a_journal_that_cannot_be_written_stops_the_run(tmp_path):
    (tmp_path / "llm").write_text("a file where the folder should be")
    with pytest.raises(CurateError, match="cannot be written"):
        put(Journal(tmp_path, ADDRESS, "m"), "a", "x")


def test_a_line_says_what_was_asked(tmp_path):
    journal = Journal(tmp_path, ADDRESS, "m")
    put(journal, "a", "x", sample=2)
    journal.close()
    (log,) = logs(tmp_path)
    assert json.loads(log.read_text()) == {
        "key": key("a", sample=2),
        "body": call("a").body,
        "sample": 2,
        "reask": 0,
        "answer": "x",
        "finish": "stop",
        "usage": [1, 2],
        "model": "m-1",
    }
    assert json.loads((log.parent / "key.json").read_text()) == {"address": ADDRESS, "model": "m"}


def test_what_follows_a_write_that_failed_is_not_lost(tmp_path, monkeypatch):
    journal = Journal(tmp_path, ADDRESS, "m")
    put(journal, "a", "x")
    write, left = os.write, [10]

    def full(file, data):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: left.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(CurateError, match="No space left"):
            put(journal, "b", "lost")
    put(journal, "c", "kept")
    assert [journal.find(key(text)) is not None for text in "abc"] == [True, False, True]
    journal.close()
    again = Journal(tmp_path, ADDRESS, "m")
    assert [again.find(key(text)) is not None for text in "abc"] == [True, False, True]


def test_a_claim_keeps_other_processes_out_until_its_holder_ends(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from curate.memo.answers import Journal\n"
        "journal = Journal(Path(sys.argv[1]), sys.argv[2], 'm')\n"
        "with journal.claim(sys.argv[3], lambda seconds: False):\n"
        "    print('claimed', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), ADDRESS, key("a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"claimed\n"
    journal, waited = Journal(tmp_path, ADDRESS, "m"), []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            other.kill()
            other.communicate()
        return False

    with journal.claim(key("b"), wait):
        assert waited == []
    with journal.claim(key("a"), wait):
        assert len(waited) >= 3
    journal.close()


def test_without_locks_the_journal_works_all_the_same(tmp_path):
    """As on Windows, where there is no fcntl."""
    code = """
import sys
sys.modules["fcntl"] = None
from pathlib import Path
import curate
from curate.answers import Answer, Call
from curate.memo.answers import Journal, answer_key
journal, call = Journal(Path(sys.argv[1]), "a", "m"), Call({"messages": []})
key = answer_key("a", call)
with journal.claim(key, lambda seconds: True):
    journal.add(key, call, Answer("well"))
print(journal.find(key).text, [path.name for path in Path(sys.argv[1]).rglob("claims")])
journal.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "well []\n"
