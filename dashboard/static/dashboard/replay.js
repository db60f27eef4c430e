// The inspector of a transcript shows the state after the turn in view. Fetched states are cached.
(() => {
  const inspector = document.querySelector("[data-inspector]");
  if (!inspector) return;
  const place = inspector.querySelector("[data-moment]");
  const kept = new Map();
  const isWide = matchMedia("(min-width: 1200px)");
  let wanted = null;

  const sync = () => { inspector.open = isWide.matches; };
  isWide.addEventListener("change", sync);
  sync();

  function address(turn) { return inspector.dataset.inspector.replace("/inspector/1/", `/inspector/${turn}/`); }

  async function show(turn) {
    wanted = turn;
    if (!inspector.open) return;
    if (!kept.has(turn)) {
      kept.set(turn, fetch(address(turn), { headers: { "HX-Request": "true" } })
        .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status))));
    }
    try {
      const found = await kept.get(turn);
      if (wanted !== turn) return;
      place.innerHTML = found;
      place.dataset.turn = turn;
      inspector.querySelector("summary").textContent = `Inspector · turn ${turn}`;
    } catch {
      kept.delete(turn);
      if (wanted === turn) place.textContent = "The state after this turn could not be loaded.";
    }
  }

  let waiting = null;
  document.addEventListener("rlm:turn", (event) => {
    if (event.detail === wanted) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => show(event.detail), kept.has(event.detail) ? 0 : 40);
  });
  inspector.addEventListener("toggle", () => { if (inspector.open && wanted !== null) show(wanted); });
  // A running turn changes the state after it.
  document.addEventListener("htmx:oobAfterSwap", () => { kept.clear(); if (wanted !== null) show(wanted); });
})();
