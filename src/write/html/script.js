// covtap's coverage site: sorting, filtering and keys. Without it every page is there to be read.
"use strict";

// The theme comes before the page, so that nothing flashes.
const THEMES = ["auto", "light", "dark"];
function theme() {
  try { return localStorage.getItem("covtap-theme") ?? "auto"; } catch { return "auto"; }
}
function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try { localStorage.setItem("covtap-theme", name); } catch { /* Then it lasts as long as the page. */ }
}
if (THEMES.includes(theme())) setTheme(theme());

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Keys of the page: key, what it does, and the doing.
const keys = new Map();
function key(names, text, run) {
  for (const name of names) keys.set(name, run);
  key.help.push([names, text]);
}
key.help = [];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches?.("input[type=search]");
  if (isTyping && event.key === "Escape") event.target.blur();
  if (isTyping || document.querySelector("dialog[open]")) return;
  const run = keys.get(event.key);
  if (run) { event.preventDefault(); run(); }
});

function showHelp() {
  const list = make("dl");
  for (const [names, text] of key.help) {
    const shown = names.flatMap((name, index) => [index ? " " : "", make("kbd", { textContent: name })]);
    list.append(make("dt", {}, ...shown), make("dd", { textContent: text }));
  }
  const title = make("h2", { id: "help-title", textContent: "Keys" });
  const close = make("button", { type: "button", textContent: "Close" });
  const dialog = make("dialog", {}, title, list, close);
  dialog.setAttribute("aria-labelledby", "help-title");
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function corner() {
  const toggle = make("button", { type: "button", id: "theme" });
  const label = () => { toggle.textContent = `Theme: ${theme()}`; };
  const next = () => { setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]); label(); };
  toggle.addEventListener("click", next);
  const help = make("button", { type: "button", id: "help", textContent: "?", title: "Keys" });
  help.setAttribute("aria-label", "Keys");
  help.addEventListener("click", showHelp);
  label();
  document.querySelector(".top").prepend(make("div", { className: "corner" }, toggle, help));
  key(["t"], "theme: as the system has it, light, dark", next);
  key(["?"], "this list", showHelp);
}

// The index -------------------------------------------------------------------------------------------------------

function index() {
  const table = document.querySelector("table.files");
  const body = table.tBodies[0];
  const root = { children: [], depth: -1, parent: null };
  const nodes = [];
  let last = root;
  for (const row of body.rows) {
    const depth = Number(row.style.getPropertyValue("--d"));
    while (last.depth >= depth) last = last.parent;
    const link = row.cells[0].querySelector("a");
    const name = row.cells[0].textContent;
    const path = (last.path ?? "") + name;
    const node = { row, depth, link, name, path, children: [], parent: last, isDir: row.classList.contains("dir") };
    last.children.push(node);
    nodes.push(node);
    if (node.isDir) { node.isOpen = true; last = node; }
  }
  const first = [...table.tHead.rows[0].cells].findIndex((cell) => cell.getAttribute("aria-sort") === "ascending");
  const state = { column: first, sign: 1, isFlat: false };
  const noun = table.dataset.noun ?? "files";
  const lowered = new Map(nodes.map((node) => [node, node.path.toLowerCase()]));
  // The share and what is missing, of a cell, or its number; a metric that a file has nothing of goes last.
  const value = (node, column) => {
    const cell = node.row.cells[column];
    if (cell.dataset.n) return { share: Number(cell.dataset.n), missed: 0 };
    const text = cell.querySelector("span")?.textContent;
    if (!text) return null;
    const [covered, total] = text.replaceAll(",", "").split("/").map(Number);
    return { share: covered / total, missed: total - covered };
  };
  const names = new Intl.Collator(undefined, { numeric: true });
  const byName = (a, b) => state.isFlat
    ? names.compare(a.path, b.path)
    : (b.isDir - a.isDir) || names.compare(a.name, b.name);
  function sorted(list) {
    if (state.column === 0) return [...list].sort((a, b) => state.sign * byName(a, b));
    const values = new Map(list.map((node) => [node, value(node, state.column)]));
    return [...list].sort((a, b) => {
      const [x, y] = [values.get(a), values.get(b)];
      if (!x || !y) return (!x - !y) || byName(a, b);
      return state.sign * (x.share - y.share || y.missed - x.missed) || byName(a, b);
    });
  }

  const search = make("input", { type: "search", id: "filter", placeholder: "Filter by name", title: "Filter by name" });
  search.setAttribute("aria-label", "Filter by name");
  const only = make("input", { type: "checkbox", id: "only-uncovered" });
  const flat = make("input", { type: "checkbox", id: "flat" });
  const said = make("output", { id: "said" });
  said.setAttribute("aria-live", "polite");
  const label = (input, text) => make("label", {}, input, text);
  const tools = make("div", { className: "tools" }, search, label(only, "Only not fully covered"));
  const isTree = nodes.some((node) => node.isDir);
  if (isTree) tools.append(label(flat, "Flat list"));
  tools.append(said);

  // Which rows are there: nodes stand behind the directory that they are in.
  function show() {
    const wanted = search.value.toLowerCase();
    const matches = (node) => (!wanted || lowered.get(node).includes(wanted))
      && (!only.checked || node.row.querySelector("td.some, td.no"));
    let count = 0;
    // A directory is there if something in it is.
    for (const node of nodes.toReversed()) {
      node.isWanted = node.isDir ? !state.isFlat && node.children.some((child) => child.isWanted) : Boolean(matches(node));
      if (node.isWanted && !node.isDir) count += 1;
    }
    root.isShown = root.isOpen = true;
    for (const node of nodes) {
      const isOpen = state.isFlat || (node.parent.isShown && (node.parent.isOpen || wanted !== ""));
      node.isShown = node.isWanted && isOpen;
      if (node.row.hidden === node.isShown) node.row.hidden = !node.isShown;
    }
    const isFiltered = wanted !== "" || only.checked;
    said.textContent = isFiltered ? `${count} of ${nodes.filter((node) => !node.isDir).length} ${noun}` : "";
  }

  function order() {
    const rows = [];
    const walk = (list) => {
      for (const node of sorted(list)) {
        rows.push(node.row);
        walk(node.children);
      }
    };
    if (state.isFlat) rows.push(...sorted(nodes.filter((node) => !node.isDir)).map((node) => node.row));
    else walk(root.children);
    const fragment = document.createDocumentFragment();
    fragment.append(...rows);
    body.append(fragment);
  }

  for (const node of nodes.filter((node) => node.isDir)) {
    const fold = make("button", { type: "button", className: "fold" });
    const label = () => {
      fold.setAttribute("aria-expanded", String(node.isOpen));
      fold.setAttribute("aria-label", `${node.isOpen ? "Close" : "Open"} ${node.name}`);
    };
    fold.addEventListener("click", () => { node.isOpen = !node.isOpen; label(); show(); });
    label();
    node.row.cells[0].prepend(fold);
  }
  for (const [column, cell] of [...table.tHead.rows[0].cells].entries()) {
    const button = make("button", { type: "button", textContent: cell.textContent });
    button.addEventListener("click", () => {
      state.sign = state.column === column ? -state.sign : 1;
      state.column = column;
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", state.sign > 0 ? "ascending" : "descending");
      order();
    });
    cell.replaceChildren(button);
  }
  search.addEventListener("input", show);
  only.addEventListener("change", show);
  flat.addEventListener("change", () => {
    state.isFlat = flat.checked;
    for (const node of nodes) {
      node.row.style.setProperty("--d", state.isFlat ? 0 : node.depth);
      if (node.link) node.link.textContent = state.isFlat ? node.path : node.name;
    }
    order();
    show();
  });
  table.parentElement.before(tools);

  const step = (by) => {
    const links = nodes.map((node) => node.link).filter((link) => link && !link.closest("tr").hidden);
    links.sort((a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at < 0 ? 0 : at + by, 0), links.length - 1)]?.focus();
  };
  const one = noun.replace(/s$/, "");
  key(["j", "n"], `next ${one}; Enter opens it`, () => step(1));
  key(["k", "p"], `previous ${one}`, () => step(-1));
  key(["/"], "filter by name; Esc leaves it", () => search.focus());
  key(["o"], "only what is not fully covered", () => only.click());
  if (isTree) key(["f"], "flat list, or tree", () => flat.click());
}

// A source page, or one of object code -----------------------------------------------------------------------------

function file() {
  // Where a stretch of lines begins that did not run, or ran in part.
  const isStop = (line) => line?.matches(".l.u, .l.p");
  const lines = [...document.querySelectorAll(".source .chunk > .l")];
  const stops = lines.filter((line, i) => isStop(line) && !isStop(lines[i - 1]));
  // Lines have numbers, instructions addresses, which may be too large for a number.
  const numberOf = (id) => {
    const [, line, address] = /^(?:L(\d+)|A([\da-f]+))$/.exec(id) ?? [];
    return line ? Number(line) : address ? BigInt(`0x${address}`) : -1;
  };
  const numbers = stops.map((line) => numberOf(line.id));
  const here = () => numberOf(location.hash.slice(1));
  const noun = document.querySelector("main").dataset.noun ?? "line";

  const button = (text, title, run) => {
    const made = make("button", { type: "button", textContent: text, title });
    made.addEventListener("click", run);
    return made;
  };
  const where = make("span", { className: "where", id: "where" });
  where.setAttribute("aria-live", "polite");
  const say = () => {
    const at = numbers.findLastIndex((number) => number <= here());
    const count = `${numbers.length} ${numbers.length === 1 ? "place" : "places"} not fully run`;
    where.textContent = numbers.length === 0 ? `✓ every ${noun} ran` : at < 0 ? count : `${at + 1} of ${count}`;
  };
  const go = (index) => {
    const line = stops[index];
    if (!line) return;
    // Without an entry in the history for each step.
    location.replace(`#${line.id}`);
    line.querySelector(".n").focus({ preventScroll: true });
    say();
  };
  const next = () => go(numbers.findIndex((number) => number > here()));
  const previous = () => go(numbers.findLastIndex((number) => number < here()));
  const all = [...document.querySelectorAll(".source details")];
  const unfold = () => {
    const isOpen = all.some((details) => !details.open);
    for (const details of all) details.open = isOpen;
  };
  const up = document.getElementById("up");
  const bar = make("div", { className: "bar" },
    button("↑ Index", "u", () => up.click()),
    button("‹ Previous", "p or k", previous), button("Next ›", "n or j", next));
  if (all.length) bar.append(button("Details", "d: open or close branches, macros and instantiations", unfold));
  bar.append(where);
  document.querySelector(".source").before(bar);
  window.addEventListener("hashchange", say);
  say();

  key(["n", "j"], "next place that is not fully run", next);
  key(["p", "k"], "previous place", previous);
  key(["d"], "open or close branches, macros and instantiations", unfold);
  key(["f"], "open or close the functions", () => {
    const functions = document.querySelector(".functions");
    if (functions) functions.open = !functions.open;
  });
  key(["u"], "up to the index", () => up.click());
}

document.addEventListener("DOMContentLoaded", () => {
  ({ index, file })[document.body.dataset.page]?.();
  corner();
});
