"use strict";
// The table of rows. Texts of rows reach the page as text nodes only, never as markup.
(() => {
  const PAGE = 50;
  const WAIT = 150; // milliseconds after the last key, before a search
  const $ = (id) => document.getElementById(id);

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // ---- theme
  const themes = ["auto", "light", "dark"];
  const theme = $("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    const next = themes[(themes.indexOf(now) + 1) % themes.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
  });

  async function unpack() {
    const packed = atob($("data").textContent);
    const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function start({ scores, rows }) {
    const total = rows.id.length;
    const at = new Map(rows.id.map((id, row) => [id, row]));
    const controls = { fate: $("by-fate"), stage: $("by-stage"), source: $("by-source"), ability: $("by-ability") };
    const state = { view: [], page: 0, sort: null, down: false, words: "", score: 0 };
    let haystacks = null;

    // ---- what a row says
    const lines = new Array(total);
    function line(row) {
      if (lines[row] === undefined) {
        const turns = rows.turns[row];
        const said = turns ? turns.filter(([role]) => role !== "system").slice(0, 2) : null;
        lines[row] = said
          ? said.map(([, text]) => (text || "").slice(0, 240).replace(/\s+/g, " ").trim()).join(" → ")
          : rows.detail[row] || "(text not published)";
      }
      return lines[row];
    }

    function haystack(row) {
      const texts = [rows.id[row], rows.source[row], rows.file[row], rows.reason[row], rows.detail[row], rows.generator[row]];
      for (const [, text] of rows.turns[row] || []) texts.push(text);
      for (const [name, text] of rows.more[row]) texts.push(name, text);
      return texts.filter((text) => text).join("\n").toLowerCase();
    }

    const shown = (value) => {
      if (value === null || value === undefined) return "";
      if (typeof value !== "number") return String(value);
      return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(5)));
    };

    const value = {
      fate: (row) => rows.fate[row],
      stage: (row) => rows.stage[row],
      reason: (row) => rows.reason[row],
      source: (row) => rows.source[row],
      score: (row) => rows.numbers[row][state.score],
      text: line,
    };

    // ---- choosing rows
    function choose() {
      const words = state.words.toLowerCase();
      if (words && !haystacks) haystacks = rows.id.map((_, row) => haystack(row));
      const wanted = Object.entries(controls)
        .filter(([, control]) => control.value !== "")
        .map(([name, control]) => [rows[name], control.options[control.selectedIndex].choice]);
      const view = [];
      for (let row = 0; row < total; row += 1) {
        if (words && !haystacks[row].includes(words)) continue;
        if (wanted.every(([column, choice]) => column[row] === choice)) view.push(row);
      }
      if (state.sort) {
        const keys = new Map(view.map((row) => [row, value[state.sort](row)]));
        const sign = state.down ? -1 : 1;
        view.sort((one, two) => {
          const [a, b] = [keys.get(one), keys.get(two)];
          if (a === b) return one - two;
          if (a === null || a === undefined) return 1; // rows without a value stand last
          if (b === null || b === undefined) return -1;
          return (a < b ? -sign : sign) || one - two;
        });
      }
      state.view = view;
      state.page = 0;
      draw();
    }

    // ---- drawing
    function draw() {
      const pages = Math.max(Math.ceil(state.view.length / PAGE), 1);
      const first = state.page * PAGE;
      $("body").replaceChildren(...state.view.slice(first, first + PAGE).map(drawn));
      $("count").textContent = `${state.view.length.toLocaleString("en")} of ${total.toLocaleString("en")} rows`;
      $("page").textContent = `Page ${(state.page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
      $("previous").disabled = state.page === 0;
      $("next").disabled = state.page >= pages - 1;
      for (const button of document.querySelectorAll("[data-sort]")) {
        const head = button.closest("th");
        if (button.dataset.sort === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      }
    }

    function drawn(row) {
      const open = element("button", { type: "button", className: "link open", dir: "auto", textContent: line(row) || "(empty)" });
      const fate = element("span", { className: `fate ${rows.fate[row]}`, textContent: rows.fate[row] });
      const cells = [fate, rows.stage[row] || "", (rows.reason[row] || "").replaceAll("_", " "), rows.source[row] || "", scores.length ? shown(value.score(row)) : "", open];
      const made = element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
      made.cells[4].className = "number";
      made.addEventListener("click", () => show(row, open));
      return made;
    }

    // ---- one row in full
    const dialog = $("details");
    let current = 0;

    function rowLink(id) {
      if (!at.has(id)) return element("span", {}, id, element("span", { className: "small", textContent: " (not on this page)" }));
      const link = element("button", { type: "button", className: "link", textContent: id });
      link.addEventListener("click", () => fill(at.get(id)));
      return link;
    }

    function links(ids) {
      return ids.flatMap((id, place) => (place ? [", ", rowLink(id)] : [rowLink(id)]));
    }

    const more = (count) => (count ? `, and ${count.toLocaleString("en")} more` : "");

    function facts(pairs) {
      const list = element("dl", {});
      for (const [name, ...said] of pairs) {
        if (said.length && said.some((one) => one !== null && one !== "")) {
          list.append(element("dt", { textContent: name }), element("dd", { dir: "auto" }, ...said));
        }
      }
      return list;
    }

    function fill(row) {
      current = row;
      const id = rows.id[row];
      const where = rows.file[row] ? `${rows.file[row]}${rows.line[row] === null ? "" : `, line ${rows.line[row]}`}` : "";
      const parts = [
        facts([
          ["fate", element("span", { className: `fate ${rows.fate[row]}`, textContent: rows.fate[row] })],
          ["stage", rows.stage[row]],
          ["reason", rows.reason[row]],
          ["detail", rows.detail[row]],
          ["in favour of", ...(rows.ref[row] ? links([rows.ref[row]]) : [])],
          ["source", rows.source[row]],
          ["file", where],
          ["origin", rows.origin[row]],
          ["generator", rows.generator[row]],
          ["licence", rows.license[row]],
          ["ability", rows.ability[row]],
          ["parents", ...links(rows.parents[row])],
          ["children", ...links(rows.children[row]), more(rows.born[row] - rows.children[row].length)],
        ]),
      ];
      for (const [role, text] of rows.turns[row] || []) parts.push(block(role, text));
      if (!rows.turns[row]) parts.push(element("p", { textContent: "Its text is not published, or could not be read." }));
      for (const [name, text] of rows.more[row]) parts.push(block(`column ${name}`, text));
      if (rows.left[row]) parts.push(element("p", { className: "small", textContent: `${rows.left[row].toLocaleString("en")} more characters are not on this page.` }));
      if (scores.length) parts.push(element("h3", { textContent: "Scores" }), facts(scores.map((name, place) => [name, rows.numbers[row][place] === null ? "none" : String(rows.numbers[row][place])])));
      $("details-title").textContent = `Row ${id}`;
      $("details-body").replaceChildren(...parts);
      const place = state.view.indexOf(row);
      $("earlier").disabled = place <= 0;
      $("later").disabled = place < 0 || place >= state.view.length - 1;
      dialog.scrollTop = 0;
    }

    function block(name, text) {
      return element("div", { className: "text" }, element("h4", { textContent: name }), element("pre", { dir: "auto", textContent: text === null ? "(left out)" : text || "(empty)" }));
    }

    function show(row, opener) {
      fill(row);
      opener.focus(); // where the browser returns to when the dialog closes
      dialog.showModal();
      $("details-title").focus();
    }

    function step(by) {
      const place = state.view.indexOf(current) + by;
      if (place >= 0 && place < state.view.length) fill(state.view[place]);
    }

    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    $("close").addEventListener("click", () => dialog.close());
    $("earlier").addEventListener("click", () => step(-1));
    $("later").addEventListener("click", () => step(1));

    // ---- controls
    for (const [name, control] of Object.entries(controls)) {
      const counts = new Map();
      for (const one of rows[name]) counts.set(one, (counts.get(one) || 0) + 1);
      const choices = [...counts].filter(([one]) => one !== null && one !== "").sort((a, b) => b[1] - a[1]);
      control.append(element("option", { value: "", textContent: "all" }));
      choices.forEach(([one, count], place) => {
        const option = element("option", { value: String(place), textContent: `${one} (${count.toLocaleString("en")})` });
        option.choice = one;
        control.append(option);
      });
      control.closest("label").hidden = choices.length < 2;
      control.addEventListener("change", choose);
    }
    scores.forEach((name, place) => $("score").append(element("option", { value: String(place), textContent: name })));
    $("score").closest("label").hidden = scores.length === 0;
    // the numbers of the last cut; else those that most rows have
    const filled = scores.map((_, place) => rows.numbers.filter((numbers) => numbers[place] !== null).length);
    const cut = scores.indexOf($("table").dataset.score);
    const first = cut >= 0 ? cut : Math.max(filled.indexOf(Math.max(...filled)), 0);
    state.score = first;
    function pickScore() {
      $("score").value = String(state.score);
      $("score-head").textContent = scores[state.score] || "Score";
    }
    $("score").addEventListener("change", () => {
      state.score = Number($("score").value);
      pickScore();
      choose();
    });
    let timer = 0;
    $("search").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        state.words = $("search").value.trim();
        choose();
      }, WAIT);
    });
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("controls").addEventListener("reset", () => {
      clearTimeout(timer);
      setTimeout(() => {
        state.words = "";
        state.sort = null;
        state.score = first;
        pickScore();
        choose();
      });
    });
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => {
        const again = state.sort === button.dataset.sort;
        // numbers begin with the highest, words with A
        state.down = again ? !state.down : button.dataset.sort === "score";
        state.sort = button.dataset.sort;
        choose();
      });
    }
    $("previous").addEventListener("click", () => { state.page -= 1; draw(); });
    $("next").addEventListener("click", () => { state.page += 1; draw(); });
    $("body").addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by || !event.target.closest("tr")) return;
      const row = event.target.closest("tr")[by > 0 ? "nextElementSibling" : "previousElementSibling"];
      if (row) { event.preventDefault(); row.querySelector(".open").focus(); }
    });
    for (const button of document.querySelectorAll("[data-row]")) {
      const row = at.get(button.dataset.row);
      if (row === undefined) continue;
      button.hidden = false;
      button.addEventListener("click", () => show(row, button));
    }

    pickScore();
    choose();
    $("table").hidden = false;
  }

  unpack().then(start).catch((error) => {
    $("failed").textContent = `The rows cannot be shown: ${error.message}. A current browser is needed.`;
    $("failed").hidden = false;
  });
})();
