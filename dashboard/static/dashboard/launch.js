// Launch: problems of the preview go beside their inputs as one types, and a file may be dropped anywhere.
"use strict";
(() => {
  const form = document.getElementById("launch-form");
  const preview = document.getElementById("preview");
  if (!form || !preview) return;

  function placeProblems() {
    const found = new Map();
    for (const item of preview.querySelectorAll("[data-at]")) {
      found.set(item.dataset.at, [...(found.get(item.dataset.at) || []), item.querySelector("span").textContent]);
    }
    for (const place of form.querySelectorAll("[data-problem]")) {
      const messages = found.get(place.dataset.problem) || [];
      place.replaceChildren(...messages.map((message) => {
        const line = document.createElement("span");
        line.className = "error";
        line.textContent = message;
        return line;
      }));
      const input = form.querySelector(`[aria-describedby="${CSS.escape(place.id)}"]`);
      if (!input) continue;
      if (messages.length) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    }
    const text = document.getElementById("toml-text");
    if (text) text.setAttribute("aria-invalid", String(found.size > 0));
  }
  document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target === preview) placeProblems(); });

  // A problem in a folded part unfolds it when its link is followed.
  preview.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#problem-']");
    const place = link && document.getElementById(link.hash.slice(1));
    if (!place) return;
    event.preventDefault();
    for (let part = place.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    const input = form.querySelector(`[aria-describedby="${CSS.escape(place.id)}"]`);
    (input || place).scrollIntoView({ block: "center" });
    if (input) input.focus({ preventScroll: true });
  });

  const file = document.querySelector("[data-drop] input[type=file]");
  const root = document.documentElement;
  const hasFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  file.addEventListener("change", () => { if (file.files.length) file.form.requestSubmit(); });
  document.addEventListener("dragover", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    root.toggleAttribute("data-dropping", true);
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.removeAttribute("data-dropping"); });
  document.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    root.removeAttribute("data-dropping");
    file.files = event.dataTransfer.files;
    file.form.requestSubmit();
  });
})();
