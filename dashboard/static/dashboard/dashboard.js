// What pages need besides htmx: theme, figures, keyboard shortcuts, copying.
"use strict";
(() => {
  const root = document.documentElement;

  // Theme: the system's, until the switch is used.
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function switchTheme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* applies to this page only */ }
    drawFigures(true);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawFigures(true));

  // Figures: panels from a JSON block. `var(--name)` in it becomes the theme's colour, `faint(--name)` the same
  // colour at low opacity.
  const drawn = new WeakMap();
  function themed(value, style) {
    if (typeof value === "string") {
      const found = /^(var|faint)\((--[\w-]+)\)$/.exec(value);
      if (!found) return value;
      const colour = style.getPropertyValue(found[2]).trim();
      return found[1] === "faint" ? `${colour}33` : colour;
    }
    if (Array.isArray(value)) return value.map((item) => themed(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, style)]));
    }
    return value;
  }
  // A small figure keeps the height of its place.
  function laidOut(panel, width, height) {
    const fitted = lyingDown(panel, width, height);
    return height ? { ...fitted, layout: { ...fitted.layout, height } } : fitted;
  }
  // Bars whose names do not fit side by side become horizontal, one group below the other.
  function lyingDown(panel, width, height) {
    const axis = panel.layout.xaxis;
    if (!axis.ticktext || !axis.ticktext.length) return panel;
    const longest = Math.max(...axis.ticktext.flatMap((text) => text.split("<br>")).map((line) => line.length));
    const groups = axis.ticktext.length;
    const bars = new Set(panel.data.map((trace) => trace.offsetgroup || trace.name)).size;
    if ((width - 72) / groups >= Math.min(longest * 6.6 + 8, 220) && (width - 72) / groups >= bars * 7) return panel;
    // Names stay on one line if that leaves most of the width to the bars.
    const most = width > 700 ? Math.floor(width / 18) : Math.max(14, Math.floor(width / 20));
    const names = axis.ticktext.map((text) => {
      const line = text.replaceAll("<br>", " · ");
      // The end of a long name tells more than its beginning.
      if (height) return line.length > 22 ? `…${line.slice(-21)}` : line;
      return width > 700 && line.length <= most ? line : shortened(text, most);
    });
    const lines = Math.max(...names.map((text) => text.split("<br>").length));
    const data = panel.data.map(({ x, y, error_y: error, ...rest }) => ({ ...rest, x: y, y: x, error_x: error, orientation: "h" }));
    const shapes = (panel.layout.shapes || []).map(({ xref, x0, x1, y0, y1, ...rest }) => ({ ...rest, yref: xref, x0: y0, x1: y1, y0: x0, y1: x1 }));
    const upright = { ...axis, range: [groups - 0.5, -0.5], ticktext: names };
    return {
      ...panel, data,
      layout: { ...panel.layout, shapes, margin: { ...panel.layout.margin, r: 24 }, xaxis: { ...panel.layout.yaxis, nticks: height ? 4 : 6, tickangle: 0 }, yaxis: upright, bargap: 0.2,
        height: 64 + groups * Math.max(lines * 15 + 8, bars * 14 + 12) },
    };
  }
  function shortened(text, most) {
    return text.split("<br>").map((line) => (line.length > most ? `${line.slice(0, most - 1)}…` : line)).join("<br>");
  }
  function placeFor(box, at) {
    while (box.children.length <= at) {
      const place = document.createElement("div");
      place.append(document.createElement("h3"), document.createElement("div"));
      place.lastChild.className = "figure";
      box.append(place);
    }
    return box.children[at];
  }
  function drawFigures(again) {
    if (!window.Plotly) return;
    const style = getComputedStyle(root);
    for (const box of document.querySelectorAll("[data-figure]")) {
      const source = document.getElementById(box.dataset.figure);
      if (!source || (!again && drawn.get(box) === source.textContent) || box.closest("details:not([open])")) continue;
      drawn.set(box, source.textContent);
      const figure = themed(JSON.parse(source.textContent), style);
      while (box.children.length > figure.panels.length) { Plotly.purge(box.lastChild.lastChild); box.lastChild.remove(); }
      box.classList.toggle("several", figure.panels.length > 1);
      // All containers first, because a drawing takes the width that its container has at that time.
      const places = figure.panels.map((panel, at) => placeFor(box, at));
      figure.panels.forEach((panel, at) => drawPanel(places[at], panel, figure, box));
    }
  }
  function drawPanel(place, panel, figure, box) {
    const [title, plot] = place.children;
    const isFirst = !plot.dataset.drawn;
    plot.dataset.drawn = "yes";
    title.textContent = figure.panels.length > 1 ? panel.title : "";
    title.hidden = !title.textContent;
    const opens = box.closest("[data-opens]");
    const { data, layout } = laidOut(panel, plot.clientWidth || box.clientWidth, opens ? plot.clientHeight : 0);
    for (const trace of data) if (Array.isArray(trace.customdata)) trace.customdata = trace.customdata.map(inLines);
    Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true }).then(() => {
      if (isFirst && !opens) plot.on("plotly_click", (event) => openRollouts(event.points[0], figure.rollouts));
    });
  }
  // A small figure opens its large one, in a new tab where a link would.
  document.addEventListener("click", (event) => {
    const small = event.target.closest("[data-opens]");
    if (!small || event.target.closest("a, button")) return;
    if (event.ctrlKey || event.metaKey) open(small.dataset.opens, "_blank", "noopener"); else location.assign(small.dataset.opens);
  });
  // The text of a tooltip, which arrives as plain lines. The first line is bold.
  function inLines(own) {
    if (!Array.isArray(own) || !own[1].includes("\n")) return own;
    const [first, ...rest] = own[1].split("\n");
    return [own[0], [`<b>${first}</b>`, ...rest].join("<br>")];
  }
  // The rollouts behind a bar or mark, found by its own filter.
  function openRollouts(point, rollouts) {
    const query = point.customdata && point.customdata[0];
    if (!query || !rollouts) return;
    const address = `${rollouts}?q=${encodeURIComponent(query)}`;
    if (window.top === window) location.assign(address); else window.open(address, "_blank", "noopener");
  }
  // What is swapped away is no longer drawn when the window changes its size.
  document.addEventListener("htmx:beforeSwap", (event) => {
    for (const plot of event.detail.target.querySelectorAll(".js-plotly-plot")) Plotly.purge(plot);
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.querySelector("[data-figure]")) drawFigures(false);
  }, true);

  // Paper is light, and as wide as a page of it.
  let themeOnScreen = null;
  addEventListener("beforeprint", () => {
    themeOnScreen = root.dataset.theme || "";
    root.dataset.theme = "light";
    root.dataset.paper = "";
    drawFigures(true);
  });
  addEventListener("afterprint", () => {
    if (themeOnScreen) root.dataset.theme = themeOnScreen; else delete root.dataset.theme;
    delete root.dataset.paper;
    drawFigures(true);
  });

  let lastWidth = innerWidth;
  let resizing = 0;
  addEventListener("resize", () => {
    if (innerWidth === lastWidth) return;
    lastWidth = innerWidth;
    clearTimeout(resizing);
    resizing = setTimeout(() => drawFigures(true), 200);
  });

  // A figure as one file: title, legend and panels on one sheet, in the page's colours.
  const escaped = (text) => text.replace(/[&<>"]/g, (found) => `&#${found.charCodeAt(0)};`);
  async function sheet(box) {
    const style = getComputedStyle(root);
    const figure = themed(JSON.parse(document.getElementById(box.querySelector("[data-figure]").dataset.figure).textContent), style);
    const [ink, soft, paper, font] = ["--ink", "--soft", "--paper", "--sans"].map((name) => style.getPropertyValue(name).trim());
    const columns = figure.panels.length > 4 || figure.panels.length === 3 ? 3 : Math.min(figure.panels.length, 2);
    const width = columns === 1 ? 900 : 480;
    const words = (text, x, y, size, fill, more = "") => `<text x="${x}" y="${y}" font-size="${size}" fill="${fill}" ${more}>${escaped(text)}</text>`;
    const lines = (text, size) => text.match(new RegExp(`.{1,${Math.floor((columns * width - 32) / (size * 0.6))}}(\\s|$)`, "g")) || [];
    const bold = 'font-weight="600"';
    const parts = [];
    let [x, y] = [16, 8];
    for (const line of lines(figure.title, 19)) parts.push(words(line.trim(), 16, y += 24, 18, ink, bold));
    // Colours, the shapes of a scatter plot and the shades of a breakdown, as far as the figure has them.
    for (const entries of [figure.legend, figure.shapes || [], figure.shades || []]) {
      if (entries.length) [x, y] = [16, y + 22];
      for (const { name, pattern, mark, colour, opacity } of entries) {
        const text = pattern ? `${name} (${pattern})` : name;
        if (x > 16 && x + 40 + text.length * 7 > columns * width) [x, y] = [16, y + 20];
        parts.push(words(mark || "■", x, y, 13, colour ? escaped(colour) : ink, `fill-opacity="${opacity || 1}"`), words(text, x + 18, y, 12, colour ? ink : soft));
        x += 40 + text.length * 7;
      }
    }
    y += 16;
    for (let start = 0; start < figure.panels.length; start += columns) {
      const row = figure.panels.slice(start, start + columns).map((panel) => laidOut(panel, width));
      const height = Math.max(...row.map((panel) => panel.layout.height));
      for (const [at, panel] of row.entries()) {
        const layout = { ...panel.layout, width, height: panel.layout.height };
        const image = decodeURIComponent((await Plotly.toImage({ data: panel.data, layout }, { format: "svg", width, height: layout.height })).replace(/^data:image\/svg\+xml,/, ""));
        if (figure.panels.length > 1) parts.push(words(panel.title, at * width + 16, y + 16, 13, ink, bold));
        parts.push(image.replace(/^<svg /, `<svg x="${at * width}" y="${y + 20}" `));
      }
      y += height + 36;
    }
    for (const line of lines(figure.caption, 11)) {
      parts.push(words(line.trim(), 16, y, 11, soft));
      y += 16;
    }
    const [w, h] = [columns * width, y + 8];
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="${escaped(font)}"><rect width="${w}" height="${h}" fill="${paper}"/>${parts.join("")}</svg>`;
    return { svg, width: w, height: h };
  }
  async function download(button) {
    const box = document.getElementById(button.dataset.target);
    const { svg, width, height } = await sheet(box);
    const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    if (button.dataset.download === "svg") save(address, `${box.dataset.name}.svg`);
    else {
      const image = new Image();
      await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = address; });
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width * 2, height * 2];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      save(canvas.toDataURL("image/png"), `${box.dataset.name}.png`);
    }
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
  function save(address, name) {
    const link = document.createElement("a");
    [link.href, link.download] = [address, name];
    link.click();
  }

  // Check boxes and scroll position of a table survive its replacement.
  const kept = { ticked: new Set(), scrolled: new Map() };
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target } = event.detail;
    kept.ticked = new Set([...target.querySelectorAll("[data-keep]:checked")].map((box) => box.value));
    for (const part of [target, ...target.querySelectorAll(".scroll")]) {
      if (part.scrollLeft) kept.scrolled.set(part.getAttribute("aria-label"), part.scrollLeft);
    }
  });
  document.addEventListener("htmx:oobAfterSwap", () => {
    for (const box of document.querySelectorAll("[data-keep]")) box.checked ||= kept.ticked.has(box.value);
    for (const part of document.querySelectorAll(".scroll")) {
      const left = kept.scrolled.get(part.getAttribute("aria-label"));
      if (left) part.scrollLeft = left;
    }
    kept.ticked.clear();
    kept.scrolled.clear();
  });

  // Keyboard shortcuts, which are off while a field has the focus or a modifier is pressed.
  const isTyping = (target) => target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  // With two conversations side by side, keys move in the one that has the focus, or had it last.
  let column = null;
  document.addEventListener("focusin", (event) => { column = event.target.closest("[data-column]") || column; });
  function step(way) {
    const shown = column && column.offsetParent ? column : document.querySelector("[data-column]");
    const stops = [...(shown || document).querySelectorAll(".turn[data-step]")].filter((stop) => stop.offsetParent !== null);
    if (!stops.length) return;
    const edge = 72 + (shown && shown.scrollHeight > shown.clientHeight ? Math.max(shown.getBoundingClientRect().top, 0) : 0);
    const tops = stops.map((stop) => stop.getBoundingClientRect().top);
    let at = stops.indexOf(document.activeElement);
    if (at < 0) at = way > 0 ? tops.findIndex((top) => top > edge) - 1 : tops.findIndex((top) => top >= edge - 2);
    if (at < -1) at = stops.length - 1;
    const next = stops[Math.min(Math.max(at + way, 0), stops.length - 1)];
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${next.id}`);
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
      J: () => callStep(1), K: () => callStep(-1),
      n: () => follow("[rel=next]"), p: () => follow("[rel=prev]"),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  function callStep(way) {
    const calls = [...document.querySelectorAll("main details.call > summary")].filter((call) => call.offsetParent !== null);
    if (!calls.length) return;
    let at = calls.indexOf(document.activeElement);
    if (at < 0) {
      const below = calls.findIndex((call) => call.getBoundingClientRect().top > 72);
      at = (below < 0 ? calls.length : below) - (way > 0 ? 1 : 0);
    }
    const next = calls[Math.min(Math.max(at + way, 0), calls.length - 1)];
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
  }
  function follow(selector) { const link = document.querySelector(`a${selector}`); if (link) location.assign(link.href); }
  function toggleHelp() {
    const dialog = document.getElementById("keys");
    if (dialog.open) dialog.close(); else dialog.showModal();
  }

  // Filters apply when they are chosen. Without this script, the button applies them.
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
    if (button.matches("[data-download]")) download(button);
  });
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const before = button.textContent;
    try { await navigator.clipboard.writeText(source.textContent.trim()); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(source); button.textContent = "selected"; }
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // The outline follows the turn in view.
  function watchTurns() {
    const outline = document.querySelector("[data-outline]");
    if (!outline || outline.dataset.watched) return;
    const mark = () => {
      const turns = [...document.querySelectorAll("main .turn[data-step]")];
      const now = turns.filter((turn) => turn.getBoundingClientRect().top <= 96).pop() || turns[0];
      for (const link of document.querySelectorAll("[data-outline] a")) {
        link.toggleAttribute("aria-current", now !== undefined && link.hash === `#${now.id}`);
      }
      if (now) document.dispatchEvent(new CustomEvent("rlm:turn", { detail: Number(now.id.replace("turn-", "")) }));
    };
    let waiting = false;
    addEventListener("scroll", () => {
      if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; mark(); }); }
    }, { passive: true });
    outline.dataset.watched = "yes";
    mark();
  }

  // Links also work for a turn on another page of a long trace.
  function findTurn() {
    const found = /^#turn-(\d+)$/.exec(location.hash);
    if (!found || document.getElementById(location.hash.slice(1))) return;
    const link = [...document.querySelectorAll("[data-outline] a")].find((entry) => entry.hash === location.hash);
    if (link && link.search !== location.search) location.replace(link.href);
  }
  addEventListener("hashchange", findTurn);

  // An expired session returns the login page, which must not appear inside another page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/login")) {
      event.preventDefault();
      location.reload();
    }
  });
  // Shares the current page, even if its URL changed without a reload.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.matches("[data-share]")) event.detail.parameters.query = location.search.slice(1);
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

// Completes filters: arrows choose, Enter or Tab accepts, Escape closes. Without it, filters are plain text.
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
      } catch { /* stays plain text */ }
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

  // A menu closes on a click outside of it.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details:is(.menu, .drop)[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details:is(.menu, .drop)[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });
})();
