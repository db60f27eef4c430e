// The navigation: it collapses, opens as a drawer on a phone, and responds to `g` plus a letter.
"use strict";
(() => {
  const root = document.documentElement;
  const side = document.getElementById("side");
  if (!side) return;
  const opener = document.querySelector("[data-nav-open]");
  const collapse = document.querySelector("[data-nav-collapse]");

  if (/Mac|iPhone|iPad/.test(navigator.platform)) {
    for (const key of document.querySelectorAll("[data-modifier]")) key.textContent = "⌘";
  }
  function tellCollapsed() {
    const isNarrow = root.dataset.navigation === "narrow";
    collapse.setAttribute("aria-expanded", String(!isNarrow));
    collapse.setAttribute("aria-label", isNarrow ? "Expand the navigation" : "Collapse the navigation");
    collapse.title = isNarrow ? "Expand ( [ )" : "Collapse ( [ )";
  }
  function toggleNarrow() {
    if (root.dataset.navigation === "narrow") delete root.dataset.navigation; else root.dataset.navigation = "narrow";
    try { localStorage.setItem("navigation", root.dataset.navigation || "wide"); } catch { /* applies to this page only */ }
    tellCollapsed();
    dispatchEvent(new Event("resize"));  // figures adapt to their new width
  }
  function setDrawer(isOpen) {
    root.toggleAttribute("data-drawer", isOpen);
    opener.setAttribute("aria-expanded", String(isOpen));
    document.querySelector(".scrim").hidden = !isOpen;
    document.getElementById("main").inert = isOpen;
    (isOpen ? side.querySelector("nav a") : opener).focus();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-nav-open]")) setDrawer(true);
    else if (event.target.closest("[data-nav-close]")) setDrawer(false);
    else if (event.target.closest("[data-nav-collapse]")) toggleNarrow();
  });

  let wentAt = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && root.hasAttribute("data-drawer")) { setDrawer(false); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "[") { event.preventDefault(); toggleNarrow(); return; }
    const isSecond = performance.now() - wentAt < 1500;
    wentAt = event.key === "g" && !isSecond ? performance.now() : 0;
    if (!isSecond) return;
    const link = [...side.querySelectorAll("[data-go]")].find((entry) => entry.dataset.go === event.key);
    if (!link) return;
    event.preventDefault();
    location.assign(link.href);
  });
  tellCollapsed();
})();
