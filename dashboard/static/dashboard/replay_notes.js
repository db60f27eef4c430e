// Notes on a moment: `c` on a turn, or the button beside selected text, opens the form with the moment filled in.
"use strict";
(() => {
  const PARTS = [[".said", "content"], [".shown pre", "shown"], [".answer-now pre", "answer"], [".cell > pre", "arguments"]];
  const box = () => document.querySelector("[data-notes]");
  function address(turn, more) {
    const url = new URL(box().dataset.notes, location.href);
    const call = /^call-(\d+)-turn-(\d+)$/.exec(turn.id), root = /^turn-(\d+)$/.exec(turn.id);
    const moment = { attempt: box().dataset.attempt, call: call ? call[1] : "", turn: call ? call[2] : root && root[1], ...more };
    for (const [name, value] of Object.entries(moment)) if (value !== "" && value !== null) url.searchParams.set(name, value);
    url.hash = "write";
    return url.href;
  }
  function selected() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const inside = range.startContainer.nodeType === Node.ELEMENT_NODE ? range.startContainer : range.startContainer.parentElement;
    const found = PARTS.map(([selector, part]) => [inside.closest(selector), part]).find(([element]) => element);
    const turn = inside.closest(".turn");
    if (!found || !turn || !found[0].contains(range.endContainer)) return null;
    const before = new Range();
    before.setStart(found[0], 0);
    before.setEnd(range.startContainer, range.startOffset);
    const quote = range.toString();
    const start = [...before.toString()].length;
    return { range, turn, more: { part: found[1], start, end: start + [...quote].length, quote: [...quote].slice(0, 500).join("") } };
  }
  const link = document.createElement("a");
  link.className = "button note-here";
  link.textContent = "Note";
  link.hidden = true;
  document.body.append(link);
  document.addEventListener("selectionchange", () => {
    const found = box() && selected();
    link.hidden = !found;
    if (!found) return;
    link.href = address(found.turn, found.more);
    const place = found.range.getBoundingClientRect();
    link.style.left = `${scrollX + Math.min(place.left, innerWidth - 80)}px`;
    link.style.top = `${scrollY + place.bottom + 4}px`;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const turn = document.activeElement.closest(".turn");
    if (!box() || document.querySelector("dialog[open]")) return;
    const found = selected();
    location.assign(found ? address(found.turn, found.more) : turn ? address(turn, {}) : box().dataset.notes);
  });
})();
