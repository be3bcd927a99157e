"use strict";
(() => {
  const ERRORS_AT_ONCE = 24;
  const byId = (id) => document.getElementById(id);
  const content = JSON.parse(byId("content").textContent);

  function make(tag, options, ...children) {
    const node = document.createElement(tag);
    const { text, className, ...attributes } = options || {};
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  const brief = (value) => value >= 0.01 || value === 0 ? value.toFixed(3) : String(Number(value.toPrecision(2)));
  const digits = (value) => value === null ? "–" : value.toFixed(3);

  /* ---- cards: open what a link leads to, and all of them for paper ---- */

  function openTarget() {
    const target = /^#label-\d+$/.test(location.hash) && byId(location.hash.slice(1));
    if (target) { target.open = true; target.scrollIntoView(); }
  }
  const cards = [...document.querySelectorAll("details.card")];
  addEventListener("hashchange", openTarget);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = cards.filter((card) => !card.open);
    for (const card of closed) card.open = true;
  });
  addEventListener("afterprint", () => { for (const card of closed) card.open = false; });

  if (content === null) return;
  for (const node of document.querySelectorAll(".scripted")) node.hidden = false;
  byId("open-all").addEventListener("click", () => { for (const card of cards) card.open = true; });
  byId("close-all").addEventListener("click", () => { for (const card of cards) card.open = false; });
  openTarget();

  /* ---- the table of labels ---- */

  const table = byId("label-table"), body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const valueOf = (row, column) => {
    const text = row.cells[column].textContent.trim();
    if (column === 0) return text.toLowerCase();
    const value = Number(text.replace(/\u202f/g, ""));
    return Number.isNaN(value) ? null : value;
  };
  function sortBy(column, ascending) {
    const direction = ascending ? 1 : -1;
    const keyed = rows.map((row) => [valueOf(row, column), row]);
    keyed.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return direction * (column === 0 ? one.localeCompare(other) : one - other);
    });
    body.append(...keyed.map(([, row]) => row));
  }
  heads.forEach((head, column) => {
    if (head.classList.contains("picture")) return;
    const button = make("button", { type: "button", text: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const ascending = before === "descending" || (column === 0 && before !== "ascending");
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(column, ascending);
    });
  });
  heads[0].removeAttribute("aria-sort");
  const all = byId("all-labels");
  function find() {
    const wanted = byId("find").value.trim().toLowerCase();
    table.classList.toggle("all", wanted !== "" || (all !== null && all.getAttribute("aria-pressed") === "true"));
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      count += !row.hidden;
    }
    byId("found").textContent = wanted ? `${count} of ${rows.length} labels` : "";
  }
  byId("find").addEventListener("input", find);
  if (all !== null) {
    all.addEventListener("click", () => {
      all.setAttribute("aria-pressed", String(all.getAttribute("aria-pressed") !== "true"));
      find();
    });
  }

  /* ---- one threshold moved ---- */

  const curves = new Map(content.labels.map((one) => [String(one.label), one]));
  const share = (part, whole) => whole ? part / whole : null;
  function counts(curve, step) {
    const right = curve.right[step], extra = curve.extra[step], missed = curve.support - right;
    return {
      right, extra, missed,
      precision: share(right, right + extra), recall: share(right, curve.support),
      f1: share(2 * right, 2 * right + extra + missed),
    };
  }
  const change = (value, stored) => value === stored ? `${value}` : `${value} (${value > stored ? "+" : "−"}${Math.abs(value - stored)})`;
  function move(slider, curve) {
    const range = slider.querySelector("input"), step = Number(range.value);
    const card = slider.closest("details"), isMoved = step !== curve.stored;
    const now = counts(curve, step), stored = counts(curve, curve.stored);
    const threshold = String(curve.thresholds[step]);
    range.setAttribute("aria-valuetext", isMoved ? threshold : `${threshold}, as stored`);
    slider.querySelector("output").textContent = threshold;
    slider.querySelector(".moved").textContent =
      `Found ${change(now.right, stored.right)}, missed ${change(now.missed, stored.missed)}, extra ${change(now.extra, stored.extra)}; ` +
      `precision ${digits(now.precision)}, recall ${digits(now.recall)}, F1 ${digits(now.f1)}.`;
    const point = card.querySelector("circle.moved"), line = card.querySelector("path.moved");
    if (point) {
      const isShown = isMoved && now.precision !== null && now.recall !== null;
      point.toggleAttribute("hidden", !isShown);
      if (isShown) {
        point.setAttribute("cx", content.plot.left + content.plot.across * now.recall);
        point.setAttribute("cy", content.plot.top + content.plot.down * (1 - now.precision));
      }
    }
    if (line) {
      line.toggleAttribute("hidden", !isMoved);
      const place = Math.min(1, curve.thresholds[step] / Number(line.dataset.end));
      line.setAttribute("d", `M${content.plot.left + content.plot.across * place} ${content.plot.top}v${content.plot.down}`);
    }
  }
  for (const slider of document.querySelectorAll(".slider")) {
    const curve = curves.get(slider.dataset.label), range = slider.querySelector("input");
    range.addEventListener("input", () => move(slider, curve));
    slider.querySelector(".back").addEventListener("click", () => { range.value = curve.stored; move(slider, curve); });
    move(slider, curve);
  }

  /* ---- errors ---- */

  const list = byId("error-list"), more = byId("more-errors");
  let found = [], numShown = 0;
  const named = (text) => make("bdi", { text, className: text.length > 80 ? "long" : "" });
  const names = (columns, left) => {
    const nodes = [];
    for (const column of columns) nodes.push(nodes.length ? ", " : "", named(content.names[column]));
    if (left) nodes.push(` and ${left} more`);
    return nodes.length ? nodes : ["none"];
  };
  function textOf(error, row) {
    const node = make("p", { className: "text", dir: "auto" });
    for (const [piece, level] of error.pieces || [[row.text, 0]]) {
      if (level === 0) node.append(piece);
      else node.append(make("mark", { text: piece, className: `${level > 0 ? "for" : "against"}${Math.abs(level) > 2 ? " strong" : ""}` }));
    }
    if (row.more) node.append(` … (${row.more} more characters)`);
    return node;
  }
  function item(error) {
    const row = content.rows[error.row];
    const kind = error.missed ? " was missed" : " was given wrongly";
    const about = [`score ${brief(error.score)}`, `line ${row.line}`];
    if (row.cut) about.push("truncated");
    if (row.unknown) about.push(`${row.unknown} unknown cell${row.unknown === 1 ? "" : "s"}`);
    return make("li", {},
      make("p", {}, make("strong", {}, named(content.names[error.label])), kind),
      textOf(error, row),
      make("p", { className: "hint" }, "true: ", ...names(row.labels, row.left[0])),
      make("p", { className: "hint" }, "given: ", ...names(row.predicted, row.left[1])),
      make("p", { className: "hint" }, `${about.join(", ")}, id `, named(row.id)));
  }
  function showMore() {
    list.append(...found.slice(numShown, numShown + ERRORS_AT_ONCE).map(item));
    numShown = Math.min(found.length, numShown + ERRORS_AT_ONCE);
    more.hidden = numShown === found.length;
    byId("counted").textContent = `${found.length} of ${content.errors.length} errors${numShown < found.length ? `, ${numShown} shown` : ""}.`;
  }
  const severity = (error) => error.missed ? 1 - error.score : error.score;
  function filter() {
    const label = byId("by-label").value, kind = byId("by-kind").value;
    const low = Number(byId("from").value || 0), high = Number(byId("to").value || 1);
    const text = byId("contains").value.trim().toLowerCase();
    found = content.errors.filter((error) =>
      (label === "" || error.label === Number(label)) &&
      (kind === "" || error.missed === (kind === "missed")) &&
      error.score >= low && error.score <= high &&
      (text === "" || content.rows[error.row].text.toLowerCase().includes(text)));
    found.sort((one, other) => severity(other) - severity(one));
    list.replaceChildren();
    numShown = 0;
    showMore();
  }
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("input", filter);
  more.addEventListener("click", () => {
    const next = numShown;
    showMore();
    const first = list.children[next];
    if (first) { first.tabIndex = -1; first.focus(); }
  });
  for (const button of document.querySelectorAll(".show-errors")) {
    button.addEventListener("click", () => {
      byId("by-label").value = button.dataset.label;
      filter();
      byId("errors-title").scrollIntoView();
      byId("errors-title").focus();
    });
  }
  filter();
})();
