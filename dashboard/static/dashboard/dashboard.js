// The little that pages need beside htmx: theme, figures, keys, copying.
"use strict";
(() => {
  const root = document.documentElement;

  // Theme: as the system says, until the switch is used.
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function switchTheme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only, then */ }
    drawFigures(true);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawFigures(true));

  // Figures: data from a JSON block; `var(--name)` in it becomes what the theme makes of it.
  const drawn = new WeakMap();
  function themed(value, style) {
    if (typeof value === "string") {
      return value.startsWith("var(--") ? style.getPropertyValue(value.slice(4, -1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => themed(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, style)]));
    }
    return value;
  }
  function drawFigures(again) {
    if (!window.Plotly) return;
    const style = getComputedStyle(root);
    for (const box of document.querySelectorAll("[data-figure]")) {
      const source = document.getElementById(box.dataset.figure);
      if (!source || (!again && drawn.get(box) === source.textContent)) continue;
      const isFirst = !drawn.has(box);
      drawn.set(box, source.textContent);
      const figure = themed(JSON.parse(source.textContent), style);
      Plotly.react(box, figure.data, figure.layout, { displayModeBar: false, responsive: true }).then(() => {
        if (!isFirst) return;
        box.on("plotly_click", (event) => {
          const link = event.points[0].customdata && event.points[0].customdata[0];
          if (typeof link === "string" && link.startsWith("/")) location.assign(link);
        });
      });
    }
  }

  // Keys. Never while one is typing, never with a modifier.
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]");
  function step(way) {
    const stops = [...document.querySelectorAll("[data-step]")].filter((stop) => stop.offsetParent !== null);
    if (!stops.length) return;
    const edge = 72;
    const tops = stops.map((stop) => stop.getBoundingClientRect().top);
    let at = stops.indexOf(document.activeElement);
    if (at < 0) at = way > 0 ? tops.findIndex((top) => top > edge) - 1 : tops.findIndex((top) => top >= edge - 2);
    if (at < -1) at = stops.length - 1;
    const next = stops[Math.min(Math.max(at + way, 0), stops.length - 1)];
    if (next.matches("tr")) (next.querySelector("a") || next).focus();
    else next.focus({ preventScroll: true });
    next.scrollIntoView({ block: next.matches("tr") ? "nearest" : "start" });
    if (next.id) history.replaceState(null, "", `#${next.id}`);
  }
  function rowStep(way) {
    const rows = [...document.querySelectorAll("tr[data-row]")];
    if (!rows.length) return step(way);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.min(Math.max(at + way, 0), rows.length - 1)];
    (next.querySelector("a") || next).focus();
    next.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") && event.key !== "?") return;
    const keys = {
      "?": () => toggleHelp(),
      "/": () => { const field = document.querySelector("[data-search]"); if (field) { field.focus(); field.select(); } },
      j: () => rowStep(1), k: () => rowStep(-1),
      n: () => follow("[rel=next]"), p: () => follow("[rel=prev]"),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  function follow(selector) { const link = document.querySelector(`a${selector}`); if (link) location.assign(link.href); }
  function toggleHelp() {
    const dialog = document.getElementById("keys");
    if (dialog.open) dialog.close(); else dialog.showModal();
  }

  // Filters apply as they are chosen; without this script the button does it.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-apply]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form[data-apply]")) {
      for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
    }
    if (form.dataset.confirm && !confirm(form.dataset.confirm)) event.preventDefault();
  });
  addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll("form[data-apply] :disabled")) field.disabled = false;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches("[data-theme-switch]")) switchTheme();
    if (button.matches("[data-help]")) toggleHelp();
    if (button.matches("[data-copy]")) copy(button);
  });
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const before = button.textContent;
    try { await navigator.clipboard.writeText(source.textContent.trim()); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(source); button.textContent = "selected"; }
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // The outline follows the turn that is read.
  function watchTurns() {
    const outline = document.querySelector("[data-outline]");
    if (!outline || outline.dataset.watched) return;
    const mark = () => {
      const turns = [...document.querySelectorAll("main [data-step]")];
      const now = turns.filter((turn) => turn.getBoundingClientRect().top <= 96).pop() || turns[0];
      for (const link of document.querySelectorAll("[data-outline] a")) {
        link.toggleAttribute("aria-current", now !== undefined && link.hash === `#${now.id}`);
      }
    };
    let waiting = false;
    addEventListener("scroll", () => {
      if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; mark(); }); }
    }, { passive: true });
    outline.dataset.watched = "yes";
    mark();
  }

  // A turn that is on another page of a long trace is still linkable.
  function findTurn() {
    const found = /^#turn-(\d+)$/.exec(location.hash);
    if (!found || document.getElementById(location.hash.slice(1))) return;
    const link = [...document.querySelectorAll("[data-outline] a")].find((entry) => entry.hash === location.hash);
    if (link && link.search !== location.search) location.replace(link.href);
  }
  addEventListener("hashchange", findTurn);

  // A session that ended answers with the login page, which has no place inside another page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/login")) {
      event.preventDefault();
      location.reload();
    }
  });
  const setStale = (is) => { document.getElementById("stale").hidden = !is; };
  document.addEventListener("htmx:sendError", () => setStale(true));
  document.addEventListener("htmx:responseError", () => setStale(true));
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) setStale(false); });

  document.addEventListener("htmx:afterSettle", () => { drawFigures(false); });
  document.addEventListener("htmx:oobAfterSwap", () => { drawFigures(false); });
  drawFigures(false);
  watchTurns();
  findTurn();
})();

// Filters complete what is typed: arrows choose, Enter or Tab takes, Escape leaves. Without this they are plain text.
(() => {
  for (const field of document.querySelectorAll("input[data-complete]")) completes(field);

  function completes(field) {
    const list = document.createElement("ul");
    list.id = `${field.id}-options`;
    list.className = "options";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "What may stand here");
    list.hidden = true;
    field.after(list);
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) {
      field.setAttribute(name, value);
    }
    let found = null, chosen = -1, asked = 0, timer = 0;

    function close() {
      list.hidden = true;
      asked += 1;
      field.setAttribute("aria-expanded", "false");
      field.removeAttribute("aria-activedescendant");
    }
    function choose(number) {
      chosen = number;
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === number)));
      const item = list.children[number];
      if (!item) { field.removeAttribute("aria-activedescendant"); return; }
      field.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
    function show(answer) {
      found = answer;
      list.replaceChildren(...answer.options.map((option, at) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${at}`;
        item.setAttribute("role", "option");
        const text = document.createElement("code"), help = document.createElement("span");
        text.textContent = option.text;
        help.textContent = option.help;
        item.append(text, help);
        return item;
      }));
      const typed = field.value.slice(answer.start, answer.end);
      const isDone = answer.options.length === 1 && answer.options[0].text === typed;
      if (!answer.options.length || isDone) { close(); return; }
      list.hidden = false;
      field.setAttribute("aria-expanded", "true");
      choose(-1);
    }
    async function ask() {
      const number = asked += 1;
      const url = new URL(field.dataset.complete, location.href);
      url.searchParams.set("q", field.value);
      url.searchParams.set("at", field.selectionStart);
      try {
        const response = await fetch(url, { headers: { Accept: "application/json" } });
        const answer = response.ok && !response.redirected ? await response.json() : null;
        if (answer && number === asked && document.activeElement === field) show(answer);
      } catch { /* plain text, then */ }
    }
    function take(number) {
      const { text } = found.options[number];
      const isWhole = !/[.:]$/.test(text);
      const rest = field.value.slice(found.end);
      const space = isWhole && !rest.startsWith(" ") ? " " : "";
      field.value = field.value.slice(0, found.start) + text + space + rest;
      const at = found.start + text.length + (isWhole ? 1 : 0);
      field.setSelectionRange(at, at);
      close();
      if (!isWhole) ask();
    }
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 120); });
    field.addEventListener("click", ask);
    field.addEventListener("blur", close);
    list.addEventListener("mousedown", (event) => {
      event.preventDefault();  // the field keeps the focus
      const item = event.target.closest("li");
      if (item) take([...list.children].indexOf(item));
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" && list.hidden) { event.preventDefault(); ask(); return; }
      if (list.hidden) return;
      const last = list.children.length - 1;
      if (event.key === "ArrowDown") choose(chosen >= last ? 0 : chosen + 1);
      else if (event.key === "ArrowUp") choose(chosen <= 0 ? last : chosen - 1);
      else if (event.key === "Escape") close();
      else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(chosen);
      else { if (event.key === "Enter") close(); return; }
      event.preventDefault();
    });
  }

  // A menu closes when one looks elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });
})();
