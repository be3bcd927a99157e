// Tables are sorted by the column whose heading is pressed: numbers by value, others by name.
document.addEventListener("DOMContentLoaded", () => {
  const value = (row, column) => {
    const text = row.cells[column]?.textContent.trim() ?? "";
    const number = parseFloat(text.replace(/[\s,]/g, "").replace(/^[^\d.+-]+/, ""));
    return { text, number: /\d/.test(text) ? number : NaN };
  };
  const compare = (a, b) => {
    if (a.text === "" || b.text === "") return (a.text === "") - (b.text === "");
    const both = !Number.isNaN(a.number) && !Number.isNaN(b.number);
    return both ? a.number - b.number : a.text.localeCompare(b.text);
  };
  for (const table of document.querySelectorAll("article table:not([class])")) {
    const body = table.tBodies[0];
    if (!table.tHead || !body || body.rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "multihot-sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const ascending = head.ariaSort !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => ({ row, key: value(row, column) }));
        rows.sort((a, b) =>
          a.key.text === "" || b.key.text === ""
            ? compare(a.key, b.key)
            : (ascending ? 1 : -1) * compare(a.key, b.key));
        body.append(...rows.map((each) => each.row));
      });
    });
  }
});

// A command is copied without its prompt and without what it printed.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".language-console [data-md-type=copy]");
  if (!button) return;
  const code = button.closest(".language-console").querySelector("code");
  const commands = [];
  let goesOn = false;
  for (const line of code.textContent.split("\n")) {
    if (line.startsWith("$ ")) commands.push(line.slice(2));
    else if (goesOn) commands.push(line);
    goesOn = (goesOn || line.startsWith("$ ")) && line.endsWith("\\");
  }
  if (commands.length) button.setAttribute("data-clipboard-text", commands.join("\n"));
}, true);

// The theme leads language links to the first page; ours name the same page in the other language.
document.addEventListener("click", (event) => {
  if (event.target.closest?.(".multihot-language")) event.stopPropagation();
}, true);

// What scrolls sideways can be scrolled with the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  setTimeout(() => {
    for (const each of document.querySelectorAll(".md-typeset__scrollwrap")) each.tabIndex = 0;
  });
});
