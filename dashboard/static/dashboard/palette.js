// The command palette: Ctrl-K or Cmd-K opens it, arrows choose, Enter opens the entry. The focus stays in the field,
// which announces the list to screen readers.
"use strict";
(() => {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = dialog.querySelector("input");
  const list = document.getElementById("palette-list");
  const status = dialog.querySelector("[role=status]");
  let chosen = -1, asked = 0, timer = 0;

  const options = () => [...list.querySelectorAll("[role=option]:not([aria-disabled])")];
  function choose(number) {
    const found = options();
    chosen = found.length ? (number + found.length) % found.length : -1;
    found.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    if (chosen < 0) { field.removeAttribute("aria-activedescendant"); return; }
    field.setAttribute("aria-activedescendant", found[chosen].id);
    found[chosen].scrollIntoView({ block: "nearest" });
  }
  async function ask() {
    const number = asked += 1;
    const url = new URL(dialog.dataset.address, location.href);
    url.searchParams.set("q", field.value);
    url.searchParams.set("at", location.pathname);
    try {
      const response = await fetch(url, { headers: { "HX-Request": "true" } });
      if (response.redirected) { location.reload(); return; }  // the session ended
      const text = response.ok ? await response.text() : "";
      if (number !== asked || !dialog.open || !text) return;
      list.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
      choose(0);
      list.scrollTop = 0;
      const count = options().length;
      status.textContent = count === 1 ? "1 result" : `${count || "No"} results`;
    } catch { status.textContent = "The server does not answer"; }
  }
  function open() {
    const other = document.querySelector("dialog[open]");
    if (other && other !== dialog) other.close();
    if (dialog.open) { dialog.close(); return; }
    field.value = "";
    dialog.showModal();
    field.focus();
    ask();
  }
  const press = (selector) => { const button = document.querySelector(selector); if (button) button.click(); };
  const actions = {
    theme: () => press("[data-theme-switch]"),
    keys: () => press("[data-help]"),
    collapse: () => press("[data-nav-collapse]"),
    share: () => press("[data-share] button"),
    logout: () => document.querySelector("form[action$='/logout/']").requestSubmit(),
  };

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-palette-open]")) open(); });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) { dialog.close(); return; }
    const option = event.target.closest("[data-palette-action]");
    if (!option) return;
    dialog.close();
    actions[option.dataset.paletteAction]();
  });
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 80); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") {
      const option = options()[chosen];
      if (option && option.href && (event.ctrlKey || event.metaKey)) window.open(option.href, "_blank", "noopener");
      else if (option) option.click();
    } else return;
    event.preventDefault();
  });
})();
