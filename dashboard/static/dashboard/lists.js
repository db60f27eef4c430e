// Lists: what is selected is counted, `x` selects the row that has the focus, Shift selects a range.
"use strict";
(() => {
  const boxes = () => [...document.querySelectorAll("td.tick input[name]")];
  const all = document.querySelector("[data-select-all]");
  const told = document.querySelector("[data-selected]");
  if (!all || !told) return;
  const before = told.textContent;
  let last = null;

  function tell() {
    const chosen = boxes().filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
    told.textContent = chosen ? `${chosen} selected` : before;
    document.getElementById("bulk").toggleAttribute("data-active", chosen > 0);
  }
  all.hidden = false;
  all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; tell(); });
  document.addEventListener("click", (event) => {
    if (!event.target.matches("td.tick input[name]")) return;
    if (event.shiftKey && last) {
      const [from, to] = [boxes().indexOf(last), boxes().indexOf(event.target)].sort((one, other) => one - other);
      for (const box of boxes().slice(from, to + 1)) box.checked = event.target.checked;
    }
    last = event.target;
    tell();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = document.activeElement.closest("tr[data-row]")?.querySelector("td.tick input");
    if (!box || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    box.checked = !box.checked;
    last = box;
    tell();
  });
  addEventListener("pageshow", tell);
})();
