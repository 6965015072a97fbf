"""The page of `curate report`, used in a browser; hostile rows do nothing in it.

Chromium is the program that CURATE_TEST_CHROMIUM names, or the one on the path.
"""

import json
import os
import re
import shutil

import pytest

import curate
from curate.report.page import write

CHROMIUM = os.environ.get("CURATE_TEST_CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium; CURATE_TEST_CHROMIUM names one", allow_module_level=True)

from playwright.sync_api import expect, sync_playwright  # noqa: E402 - only where there is a browser

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

ACTS = "window.hit = 1"
HOSTILE = {
    "script": f"<script>{ACTS}</script>",
    "closing": f"</script><script>{ACTS}</script></pre></dialog></style></title></svg>",
    "handler": f'<img src=x onerror="{ACTS}"><svg onload="{ACTS}"><body onload={ACTS}>',
    "comment": f"<!-- --!><script>{ACTS}</script>",
    "attribute": f"\" onmouseover=\"{ACTS}\" autofocus onfocus='{ACTS}' x='",
    "template": "{{ 7 * 7 }} {% for a in b %} ${7 * 7} {{constructor.constructor('window.hit=1')()}}",
    "address": f"javascript:{ACTS}//http://example.com/x.png url(http://example.com/y)",
    "turned": "safe \u202etxet denrut\u202c \u2066isolated\u2069 \u200f",
    "null": "before\x00after \x1b[31mred\x07",
    "long": "lang " * 5_000,
    "one word": "x" * 3_000,
    "proto": "__proto__ constructor toString",
}
"""Texts by what they try."""

COLUMN = f"<img src=x onerror={ACTS}>\u202e</script>"

RECIPE = f"""# </pre></script><script>{ACTS}</script> {{{{ 7 * 7 }}}}
name: hostile
seed: 1
sources:
  ours: {{path: "ours<b>.jsonl", origin: human, license: "<i>mine</i>"}}
  theirs: {{path: theirs.jsonl, origin: synthetic, generator: "<script>{ACTS}</script>"}}
pipeline:
  - filter: dedup.exact
  - score: core.length
    id: answer
    with: {{text: response}}
  - filter: core.top
    id: best
    where: "source = 'theirs'"
    with: {{by: answer_characters, count: 40}}
"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of 12 hostile rows, one of them twice, and 120 tame ones of which 40 are kept."""
    folder = tmp_path_factory.mktemp("hostile")
    with (folder / "ours<b>.jsonl").open("w") as file:
        for name, text in HOSTILE.items():
            row = {
                "instruction": f"{name}: {text}",
                "output": text,
                "ability": text[:400],
                COLUMN: name + text,
            }
            file.write(json.dumps(row) + "\n")
        file.write(json.dumps(row) + "\n")
    with (folder / "theirs.jsonl").open("w") as file:
        for number in range(120):
            row = {
                "instruction": f"Tame question {number:03}",
                "output": "word " * (number + 1),
                "ability": "counting",
            }
            file.write(json.dumps(row) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CURATE_HOME", str(folder / "home"))
        version = curate.run("recipe.yaml", out=folder / "curated")
    return write(version).path


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page_file):
    """Opens the page; whatever a test does, it says nothing in the console and asks for nothing."""
    contexts, said, asked = [], [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        expect(page.locator("#table")).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.hit") is None
            assert page.title() == "hostile@v1 · curate"
        context.close()
    assert said == []
    assert asked == [page_file.as_uri()] * len(contexts)


def count(page):
    return page.locator("#count").inner_text()


def texts(page):
    return page.locator("#body .open").all_inner_texts()


def test_it_says_what_is_kept(opened):
    page = opened()
    expect(page.locator(".lead strong")).to_have_text("52 of 133 examples kept.")
    assert "Most fell at best: 80 of 132 (below cut)." in page.locator(".lead").inner_text()
    assert page.locator("h2").count() >= 9
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label")) > 30
        assert chart.locator("svg").bounding_box()["width"] > 250


def test_rows_come_in_pages(opened):
    page = opened()
    assert count(page) == "133 of 133 rows"
    assert len(texts(page)) == 50
    expect(page.locator("#previous")).to_be_disabled()
    page.click("#next")
    page.click("#next")
    assert len(texts(page)) == 33
    assert page.locator("#page").inner_text() == "Page 3 of 3"
    expect(page.locator("#next")).to_be_disabled()


def test_search_finds_text_whatever_its_case(opened):
    page = opened()
    page.fill("#search", "QUESTION 11")
    expect(page.locator("#count")).to_have_text("10 of 133 rows")
    assert all("Tame question 11" in text for text in texts(page))
    page.fill("#search", "no row says this")
    expect(page.locator("#count")).to_have_text("0 of 133 rows")
    page.fill("#search", "")
    expect(page.locator("#count")).to_have_text("133 of 133 rows")


def test_filters_narrow_one_another(opened):
    page = opened()
    page.locator("#by-fate").select_option(label="kept (52)")
    expect(page.locator("#count")).to_have_text("52 of 133 rows")
    page.locator("#by-source").select_option(label="theirs (120)")
    expect(page.locator("#count")).to_have_text("40 of 133 rows")
    page.click("text=Reset")
    expect(page.locator("#count")).to_have_text("133 of 133 rows")
    page.locator("#by-stage").select_option(label="best (80)")
    expect(page.locator("#count")).to_have_text("80 of 133 rows")
    assert set(page.locator("#body td:nth-child(3)").all_inner_texts()) == {"below cut"}


def test_sorting_by_a_number_and_back(opened):
    page = opened()
    head = page.locator("#score-head")
    assert head.inner_text().startswith("answer_characters")
    head.click()
    shown = page.locator("#body td:nth-child(5)")
    numbers = [int(text.replace(",", "")) for text in shown.all_inner_texts()]
    assert numbers[0] == 25_000
    assert numbers == sorted(numbers, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("answer_characters")
    head.click()
    numbers = [int(text.replace(",", "")) for text in shown.all_inner_texts()]
    assert numbers == sorted(numbers)
    # the duplicate fell before the score was computed: it has none and stands last
    page.click("#next")
    page.click("#next")
    assert shown.all_inner_texts()[-1] == ""
    page.locator("#score").select_option(label="answer_words")
    assert head.inner_text().startswith("answer_words")


def test_details_show_a_row_in_full(opened):
    page = opened()
    page.fill("#search", "question 007")
    expect(page.locator("#count")).to_have_text("1 of 133 rows")
    page.locator(".open").click()
    dialog = page.locator("#details")
    expect(dialog).to_be_visible()
    said = dialog.inner_text()
    for part in (
        "best",
        "below_cut",
        "theirs.jsonl, line 8",
        "Tame question 007",
        "word " * 7,
        "answer_words\n8",
    ):
        assert part.strip() in said
    page.click("#close")
    expect(dialog).to_be_hidden()


def test_a_duplicate_leads_to_its_survivor(opened):
    page = opened()
    page.locator("#by-stage").select_option(label="dedup_exact (1)")
    page.locator(".open").click()
    title = page.locator("#details-title").inner_text()
    link = page.locator("#details dd button.link")
    survivor = link.inner_text()
    link.click()
    assert page.locator("#details-title").inner_text() == f"Row {survivor}" != title
    page.keyboard.press("Escape")
    # the same from the section about duplicates, which lists both
    page.locator("#duplicates button[data-row]").first.click()
    assert page.locator("#details-title").inner_text() == f"Row {survivor}"


def test_the_keyboard_suffices(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.locator("#search").focus()
    page.keyboard.type("tame question 05")
    expect(page.locator("#count")).to_have_text("10 of 133 rows")
    page.locator("#score").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.open')"):
            break
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.textContent")
    assert chosen.startswith("Tame question 051")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_be_visible()
    assert "Tame question 051" in page.locator("#details").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "later"
    page.keyboard.press("Enter")
    assert "Tame question 052" in page.locator("#details").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == chosen


def test_theme_follows_the_system_and_the_button(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    bar = "getComputedStyle(document.querySelector('.chart [fill=\"#2563a8\"]')).fill"
    light, dark = (opened(color_scheme=scheme) for scheme in ("light", "dark"))
    assert light.evaluate(colour) == "rgb(255, 255, 255)"
    assert dark.evaluate(colour) != light.evaluate(colour)
    assert dark.evaluate(bar) != light.evaluate(bar)
    night = dark.evaluate(colour)
    dark.click("#theme")
    expect(dark.locator("#theme")).to_have_text("Theme: light")
    assert dark.evaluate(colour) == "rgb(255, 255, 255)"
    dark.click("#theme")
    assert dark.evaluate(colour) == night
    dark.emulate_media(media="print", color_scheme="dark")
    assert dark.evaluate(colour) == "rgb(255, 255, 255)"
    expect(dark.locator("#controls")).to_be_hidden()


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".open").first.tap()
    box = page.locator("#details").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_hostile_rows_are_text(opened):
    page = opened()
    page.locator("#by-source").select_option(label="ours (13)")
    expect(page.locator("#count")).to_have_text("13 of 133 rows")
    found, heads = {}, set()
    page.mouse.move(400, 400)
    for button in page.locator(".open").all():
        button.press("Enter")
        parts = page.locator("#details-body pre").all_text_contents()
        found[parts[0].split(":")[0]] = parts
        assert page.locator("#details-body :is(img, script, svg, b, i)").count() == 0
        heads |= set(page.locator("#details-body h4").all_text_contents())
        page.keyboard.press("Escape")
    assert f"column <img src=x onerror={ACTS}>⟨U+202E⟩</script>" in heads
    assert set(found) == set(HOSTILE)
    for name in set(HOSTILE) - {"turned", "null", "long", "proto"}:
        assert found[name] == [f"{name}: {HOSTILE[name]}", HOSTILE[name], name + HOSTILE[name]]
    assert found["turned"][1] == (
        "safe ⟨U+202E⟩txet denrut⟨U+202C⟩ ⟨U+2066⟩isolated⟨U+2069⟩ ⟨U+200F⟩"
    )
    assert found["null"][1] == "before␀after ␛[31mred␇"
    assert found["long"][1:] == ["(left out)", "(left out)"]
    assert len(found["long"][0]) == 20_001
    drawn = "[...new Set([...document.querySelectorAll('.chart *')].map(e => e.localName))].sort()"
    assert page.evaluate(drawn) == ["g", "line", "path", "svg", "text"]
    elements = (
        "[...document.querySelectorAll('img,iframe,object,embed,link,base,script')].map(e => e.id)"
    )
    assert page.evaluate(elements) == ["data", ""]


def test_what_is_left_out_of_a_long_row_is_said(opened):
    page = opened()
    page.locator("#score-head").click()
    page.locator(".open").first.click()
    left = page.locator("#details-body > p").inner_text()
    # the question, the answer, and the column, each with 25,000
    total = len("long: ") + len("long") + 3 * len(HOSTILE["long"])
    assert left == f"{total - 20_000:,} more characters are not on this page."
    assert "Of 1 long rows" in page.locator("#rows > p").first.inner_text()


def test_closing_a_row_returns_to_where_it_was_opened(opened):
    page = opened()
    for button in (page.locator(".open").nth(1), page.locator("button[data-row]").first):
        button.focus()
        for _ in range(3):
            page.keyboard.press("Enter")
            title = page.locator("#details-title").inner_text()
            page.keyboard.press("Escape")
            assert button.evaluate("one => one === document.activeElement")
        page.keyboard.press("Enter")
        assert page.locator("#details-title").inner_text() == title
        page.keyboard.press("Escape")


def test_a_dialog_that_has_closed_takes_the_focus_from_nothing(opened):
    page = opened()
    page.locator(".open").first.click()
    stays = """async () => {
      const dialog = document.getElementById("details");
      const next = document.querySelectorAll(".open")[1];
      const closed = new Promise((done) => dialog.addEventListener("close", done));
      dialog.close();
      next.focus();
      await closed;
      return document.activeElement === next;
    }"""
    assert page.evaluate(stays)


def test_without_scripts_nothing_stands_there_that_does_nothing(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("button[data-row]").count() > 0
    assert page.locator("button:visible, form:visible").count() == 0
    expect(page.locator("noscript p")).to_be_visible()
    context.close()


def test_nothing_can_be_added_that_runs(browser, page_file):
    """Should a text become markup after all, the page's policy keeps it from acting."""
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(page_file.as_uri())
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.hit = 1";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend",
            '<img src="https://example.com/x.png" onerror="window.hit = 1">');
        }"""
    )
    expect(page.locator("img")).to_have_count(1)
    assert page.evaluate("window.hit") is None
    assert (
        page.evaluate("fetch('https://example.com/').then(() => 'sent', () => 'refused')")
        == "refused"
    )
    page.wait_for_timeout(50)
    assert page.evaluate("window.hit") is None
    assert sum("Content Security Policy" in line for line in said) >= 3
    page.close()


def test_the_file_itself_holds_no_address_and_one_policy(page_file):
    content = page_file.read_text(encoding="utf-8")
    assert len(re.findall("<script", content)) == 2
    own = content.split("<script type")[0]
    assert re.findall(r"<[^<>]*(?:src|href)=[\"']", own)
    assert not re.findall(r"<[^<>]*(?:src|href)=[\"'][^#]", own)
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in content
    assert "unsafe" not in content.split("</head>")[0]
