// A replay in one file: sub-calls, keyboard shortcuts, search, theme. It makes no requests and never sets markup from
// text.
"use strict";
(() => {
  const root = document.documentElement;
  const idOf = (text) => document.getElementById(text);

  // Sub-calls are in templates and are copied into the page when they are opened.
  function fill(call) {
    const inside = call.querySelector(":scope > .inside");
    const source = idOf(`call-${call.dataset.call}`);
    if (source && !inside.firstChild) inside.append(source.content.cloneNode(true));
  }
  document.addEventListener("toggle", (event) => {
    if (event.target.matches("details.call") && event.target.open) fill(event.target);
  }, true);

  // The path to a sub-call: the templates that contain it, the outermost first.
  const holders = new Map();
  for (const template of document.querySelectorAll("template")) {
    for (const call of template.content.querySelectorAll("[data-call]")) holders.set(call.dataset.call, template.id.slice(5));
  }
  function openCall(key) {
    const path = [key];
    while (holders.has(path[0]) && path.length < 1000) path.unshift(holders.get(path[0]));
    let call = null;
    for (const each of path) {
      call = document.querySelector(`[data-call="${CSS.escape(each)}"]`);
      if (!call) return null;
      fill(call);
      for (let box = call; box; box = box.parentElement && box.parentElement.closest("details")) box.open = true;
    }
    return call;
  }
  function openAround(element) {
    for (let box = element.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  }

  function go(stop) {
    openAround(stop);
    const focused = stop.matches("details") ? stop.querySelector(":scope > summary") : stop;
    focused.focus({ preventScroll: true });
    stop.scrollIntoView({ block: "start" });
    if (stop.id) history.replaceState(null, "", `#${stop.id}`);
    mark();
  }

  // Steps start from the focus, else from the top of the window.
  function next(stops, way) {
    const here = document.activeElement;
    if (here && here !== document.body) {
      const around = stops.findIndex((stop) => stop.matches(".turn") && stop.contains(here));
      if (around >= 0) return stops[around + way];
    }
    const from = here && here.closest("main") ? here : null;
    if (from) {
      const after = (stop) => from.compareDocumentPosition(stop) & Node.DOCUMENT_POSITION_FOLLOWING;
      const others = stops.filter((stop) => !stop.contains(from));
      return way > 0 ? others.find((stop) => after(stop)) : others.filter((stop) => !after(stop)).pop();
    }
    const top = (stop) => stop.getBoundingClientRect().top;
    return way > 0 ? stops.find((stop) => top(stop) > 64) : stops.filter((stop) => top(stop) < 40).pop();
  }
  function stepTurn(way) {
    const stop = next([...document.querySelectorAll("#turns > .turn")], way);
    if (stop) go(stop);
  }
  let stepped = null;
  function stepCall(way) {
    const stop = next([...document.querySelectorAll("#turns details.call")], way);
    if (!stop) return;
    // Sub-calls that were opened on the way are closed again, except those around the next match.
    for (let call = stepped; call; call = call.parentElement.closest("details.call")) if (!call.contains(stop)) call.open = false;
    fill(stop);
    stop.open = true;
    stepped = stop;
    go(stop);
  }

  // Searches every turn and every opening, including those of sub-calls that were never opened.
  const field = document.querySelector("[data-find]"), told = document.querySelector("[data-found]");
  let places = [], at = -1;
  // The text of a part, without the turns and sub-calls in it, which are separate entries.
  const walkerOf = (part) => document.createTreeWalker(part, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
    if (node.nodeType === Node.TEXT_NODE) return NodeFilter.FILTER_ACCEPT;
    return node.matches(".inside, .turns, .outline") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP;
  });
  function ownText(part) {
    const walker = walkerOf(part);
    let text = "";
    while (walker.nextNode()) text += walker.currentNode.data;
    return text.toLowerCase();
  }
  let index = null;
  function indexed() {
    if (index) return index;
    index = [];
    const callsIn = (part) => [...part.querySelectorAll("[data-call]")].filter((found) => !found.parentElement.closest(".inside"));
    const main = idOf("main");
    const waiting = [...main.querySelectorAll("#turns > .turn")].map((turn) => ({ call: "", id: turn.id, part: turn })).reverse();
    const judges = [...main.querySelectorAll(".judge")].map((judge) => judge.dataset.call);
    const entriesOf = (key) => {
      const content = idOf(`call-${key}`)?.content;
      if (!content) return [];
      return [{ call: key, id: "", part: content }, ...[...content.querySelectorAll(".turn")].map((turn) => ({ call: key, id: turn.id, part: turn }))];
    };
    index.push({ call: "", id: "main", text: ownText(main) });
    waiting.push(...judges.flatMap(entriesOf).reverse());
    while (waiting.length) {
      const { call, id, part } = waiting.pop();
      index.push({ call, id, text: ownText(part) });
      if (id) waiting.push(...callsIn(part).flatMap(({ dataset }) => entriesOf(dataset.call)).reverse());
    }
    return index;
  }
  function search() {
    const words = field.value.toLowerCase();
    at = -1;
    places = words ? indexed().filter((entry) => entry.text.includes(words)) : [];
    told.textContent = words ? (places.length ? `${places.length} ${places.length === 1 ? "place" : "places"}` : "nothing") : "";
    if (CSS.highlights) CSS.highlights.clear();
  }
  function show(way) {
    if (!places.length) return;
    at = at < 0 ? (way > 0 ? 0 : places.length - 1) : (at + way + places.length) % places.length;
    const place = places[at];
    const call = place.call ? openCall(place.call) : null;
    const part = place.id ? idOf(place.id) : call.querySelector(":scope > .inside");
    if (!part) return;
    openAround(part);
    told.textContent = `${at + 1} of ${places.length}`;
    highlight(part);
    mark();
  }
  function highlight(part) {
    const words = field.value.toLowerCase();
    const walker = walkerOf(part);
    const found = [];
    for (let node = walker.nextNode(); node && found.length < 500; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      for (let from = text.indexOf(words); from >= 0 && found.length < 500; from = text.indexOf(words, from + words.length)) {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, Math.min(from + words.length, node.data.length));
        found.push(range);
      }
    }
    if (found.length) openAround(found[0].startContainer.parentElement);
    if (CSS.highlights && window.Highlight) CSS.highlights.set("found", new Highlight(...found));
    (found.length ? found[0].startContainer.parentElement : part).scrollIntoView({ block: found.length ? "center" : "start" });
  }
  let waiting = 0;
  field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); clearTimeout(waiting); if (at < 0) search(); show(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { field.value = ""; search(); field.blur(); }
  });

  // The outline follows the turn in view.
  function mark() {
    const turns = [...document.querySelectorAll("#turns > .turn")];
    const now = turns.filter((turn) => turn.getBoundingClientRect().top <= 96).pop() || turns[0];
    for (const link of document.querySelectorAll(".outline a")) link.toggleAttribute("aria-current", now !== undefined && link.hash === `#${now.id}`);
  }
  let marking = false;
  addEventListener("scroll", () => {
    if (!marking) { marking = true; requestAnimationFrame(() => { marking = false; mark(); }); }
  }, { passive: true });

  // Every moment has a URL, even in a sub-call.
  function follow() {
    const key = /^#call-(\d+)-/.exec(location.hash);
    if (key) openCall(key[1]);
    const stop = location.hash.length > 1 ? idOf(decodeURIComponent(location.hash.slice(1))) : null;
    if (stop && stop.matches(".turn")) go(stop);
  }
  addEventListener("hashchange", follow);

  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const dialog = idOf("keys");
  const help = () => { if (dialog.open) dialog.close(); else dialog.showModal(); };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches("[data-theme-switch]")) root.dataset.theme = dark() ? "light" : "dark";
    if (button.matches("[data-help]")) help();
    if (button.matches("[data-find-next]")) show(1);
    if (button.matches("[data-find-previous]")) show(-1);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (dialog.open && event.key !== "?") return;
    const keys = {
      j: () => stepTurn(1), k: () => stepTurn(-1), J: () => stepCall(1), K: () => stepCall(-1),
      "/": () => { field.focus(); field.select(); }, "?": help,
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  mark();
  follow();
})();
