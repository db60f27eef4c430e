// The timeline and the flame graph of a rollout, drawn on a canvas from the rows of `/rollouts/<id>/spans/`.
"use strict";
(() => {
  const ROW = 18;
  const GAP = 2;
  const LABELS = 96;
  const AXIS = 22;
  const LEAST = 0.75; // px: the minimum width of a bar, so that none disappears
  const LANES = { model: "Root model", cell: "Cells", tool: "Tools", judge: "Judge" };
  const COLOURS = { model: "--span-model", cell: "--span-cell", tool: "--span-tool", sub_call: "--span-sub", judge: "--span-judge" };

  const seconds = (ms) => (ms < 1000 ? `${ms} ms` : ms < 60000 ? `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s` : `${Math.floor(ms / 60000)} m ${Math.round((ms % 60000) / 1000)} s`);
  const count = (number) => number.toLocaleString("en");
  const cost = (dollars) => (dollars >= 0.01 ? `$${dollars.toFixed(2)}` : `$${dollars.toPrecision(2)}`);

  function rowsOf(answer) {
    const spans = answer.spans.map((row, index) => ({ index, ...Object.fromEntries(answer.columns.map((name, at) => [name, row[at]])) }));
    for (const span of spans) {
      span.children = [];
      span.depth = span.parent === null ? 0 : spans[span.parent].depth + 1;
      span.inCall = span.parent !== null && (spans[span.parent].inCall || spans[span.parent].kind === "sub_call");
      if (span.parent !== null) spans[span.parent].children.push(span);
    }
    return spans;
  }

  // The spans of the timeline with their lanes. Overlapping sub-calls get separate lanes.
  function laneBars(spans) {
    const lanes = [];
    const laneOf = (name) => { const at = lanes.indexOf(name); return at < 0 ? lanes.push(name) - 1 : at; };
    for (const kind of Object.keys(LANES)) if (spans.some((span) => span.kind === kind && !span.inCall)) laneOf(LANES[kind]);
    const first = lanes.length;
    const ends = [];
    const bars = [];
    for (const span of [...spans].sort((one, other) => one.start_ms - other.start_ms)) {
      if (LANES[span.kind] && !span.inCall) bars.push({ span, row: laneOf(LANES[span.kind]), from: span.start_ms, to: span.start_ms + span.ms });
      if (span.kind !== "sub_call") continue;
      let lane = ends.findIndex((end) => end <= span.start_ms);
      if (lane < 0) lane = ends.push(0) - 1;
      ends[lane] = span.start_ms + span.ms;
      bars.push({ span, row: first + lane, from: span.start_ms, to: span.start_ms + span.ms });
    }
    ends.forEach((_, at) => lanes.push(at ? "" : "Sub-calls"));
    return { lanes, bars };
  }

  // Each bar is as wide as the measure of its subtree, with its children from the left in order.
  function flameBars(spans, measure) {
    const value = new Float64Array(spans.length);
    for (let at = spans.length - 1; at >= 0; at--) {
      value[at] += spans[at][measure] || 0;
      if (spans[at].parent !== null) value[spans[at].parent] += value[at];
    }
    const from = new Float64Array(spans.length);
    const bars = [];
    for (const span of spans) {
      let at = from[span.index];
      for (const child of span.children) { from[child.index] = at; at += value[child.index]; }
      if (value[span.index] > 0) bars.push({ span, row: span.depth, from: from[span.index], to: from[span.index] + value[span.index] });
    }
    return { lanes: [], bars };
  }

  class Drawing {
    constructor(box, spans) {
      this.box = box;
      this.spans = spans;
      this.view = box.dataset.view;
      this.measure = "own_ms";
      this.canvas = document.createElement("canvas");
      this.canvas.setAttribute("aria-hidden", "true");
      this.range = document.createElement("div");
      this.range.className = "range";
      this.range.hidden = true;
      this.tip = document.createElement("div");
      this.tip.className = "spans-tip";
      this.tip.hidden = true;
      box.replaceChildren(this.canvas, this.range, this.tip);
      this.left = this.view === "timeline" ? LABELS : 0;
      this.arrange();
      this.listen();
    }

    arrange() {
      const { lanes, bars } = this.view === "timeline" ? laneBars(this.spans) : flameBars(this.spans, this.measure);
      this.lanes = lanes;
      this.bars = bars;
      this.end = Math.max(...bars.map((bar) => bar.to), 1e-9);
      [this.from, this.to] = [0, this.end];
      this.draw();
    }

    x(at) { return this.left + ((at - this.from) / (this.to - this.from)) * (this.width - this.left); }
    at(x) { return this.from + ((x - this.left) / (this.width - this.left)) * (this.to - this.from); }

    draw() {
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(name).trim();
      const rows = Math.max(...this.bars.map((bar) => bar.row), 0) + 1;
      this.width = this.box.clientWidth;
      const height = AXIS + rows * ROW + 4;
      const ratio = Math.min(devicePixelRatio || 1, 30000 / height);
      this.canvas.width = this.width * ratio;
      this.canvas.height = height * ratio;
      this.canvas.style.height = `${height}px`;
      const pen = this.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.clearRect(0, 0, this.width, height);
      pen.font = `12px ${colour("--sans")}`;
      pen.textBaseline = "middle";
      this.drawAxis(pen, colour, height);
      const shades = Object.fromEntries(Object.entries(COLOURS).map(([kind, name]) => [kind, colour(name)]));
      const [group, failed, paper] = ["--span-group", "--failed", "--paper"].map(colour);
      for (const bar of this.bars) {
        const [from, to] = [Math.max(this.left, this.x(bar.from)), Math.min(this.width, this.x(bar.to))];
        if (to < this.left || from > this.width) continue;
        const [y, width] = [AXIS + bar.row * ROW, Math.max(LEAST, to - from - (to - from > 3 ? 0.5 : 0))];
        pen.globalAlpha = bar.span.flags & 2 ? 0.5 : 1;
        pen.fillStyle = shades[bar.span.kind] || group;
        pen.fillRect(from, y, width, ROW - GAP);
        pen.globalAlpha = 1;
        if (bar.span.flags & 1) { pen.fillStyle = failed; pen.fillRect(from, y + ROW - GAP - 4, width, 4); }
        if (width > 40) {
          pen.fillStyle = paper;
          pen.save();
          pen.beginPath();
          pen.rect(from, y, width - 4, ROW - GAP);
          pen.clip();
          pen.fillText(bar.span.label, from + 4, y + (ROW - GAP) / 2);
          pen.restore();
        }
      }
      pen.fillStyle = colour("--soft");
      if (this.left) {
        pen.fillStyle = paper;
        pen.fillRect(0, AXIS, this.left - 1, height);
        pen.fillStyle = colour("--soft");
        this.lanes.forEach((lane, row) => pen.fillText(lane, 8, AXIS + row * ROW + (ROW - GAP) / 2));
      }
    }

    drawAxis(pen, colour, height) {
      const span = this.to - this.from;
      const wanted = span / Math.max(2, Math.floor((this.width - this.left) / 110));
      const power = 10 ** Math.floor(Math.log10(wanted || 1));
      const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= wanted);
      pen.strokeStyle = colour("--line");
      pen.fillStyle = colour("--soft");
      for (let at = Math.ceil(this.from / step) * step; at <= this.to; at += step) {
        const x = Math.round(this.x(at)) + 0.5;
        pen.beginPath();
        pen.moveTo(x, 0);
        pen.lineTo(x, height);
        pen.stroke();
        if (x < this.width - 40) pen.fillText(this.amount(at), x + 4, AXIS / 2);
      }
    }

    amount(value) {
      if (this.view === "flame" && this.measure === "tokens") return count(Math.round(value));
      if (this.view === "flame" && this.measure === "dollars") return value ? cost(value) : "$0";
      return seconds(Math.round(value));
    }

    found(event) {
      const place = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - place.left, event.clientY - place.top];
      const row = Math.floor((y - AXIS) / ROW);
      if (x < this.left || row < 0) return null;
      const near = (3 / (this.width - this.left)) * (this.to - this.from);
      const at = this.at(x);
      let best = null;
      for (const bar of this.bars) {
        if (bar.row !== row || at < bar.from - near || at > bar.to + near) continue;
        if (at >= bar.from && at <= bar.to) return bar;
        best = best || bar;
      }
      return best;
    }

    show(event, bar) {
      this.tip.hidden = !bar;
      if (!bar) return;
      const { span } = bar;
      const title = document.createElement("b");
      title.textContent = span.turn && span.kind !== "turn" ? `${span.label}, turn ${span.turn}` : span.label;
      const lines = [`${seconds(span.ms)}, from ${seconds(span.start_ms)}`];
      if (this.view === "flame" && this.measure !== "own_ms") lines.push(`${this.amount(bar.to - bar.from)}${this.measure === "tokens" ? " tokens" : ""} in it and below`);
      else if (span.tokens) lines.push(`${count(span.tokens)} tokens${span.dollars ? `, ${cost(span.dollars)}` : ""}`);
      if (span.tokens === null) lines.push("tokens not reported");
      if (span.flags & 1) lines.push("failed");
      if (span.flags & 2) lines.push("running");
      this.tip.replaceChildren(title, ...lines.flatMap((line) => [document.createTextNode(line), document.createElement("br")]));
      const { offsetWidth: width, offsetHeight: height } = this.tip;
      this.tip.style.left = `${Math.max(4, Math.min(innerWidth - width - 8, event.clientX + 12))}px`;
      this.tip.style.top = `${event.clientY + 16 + height > innerHeight ? event.clientY - height - 8 : event.clientY + 16}px`;
    }

    open(bar) {
      const turn = bar.span.turn;
      const address = new URL(this.box.dataset.transcript, location.href);
      if (turn) { address.searchParams.set("from", Math.floor((turn - 1) / 30) * 30 + 1); address.hash = `turn-${turn}`; }
      location.assign(address);
    }

    zoom(from, to) {
      const least = this.end / 1e6;
      if (to - from < least) return;
      [this.from, this.to] = [Math.max(0, from), Math.min(this.end, to)];
      this.draw();
    }

    press(bar) {
      const isWhole = Math.abs(bar.from - this.from) < 1e-9 && Math.abs(bar.to - this.to) < 1e-9;
      if (this.view === "flame" && !isWhole && bar.span.parent !== null) this.zoom(bar.from, bar.to);
      else this.open(bar);
    }

    listen() {
      let start = null;
      this.canvas.addEventListener("pointerdown", (event) => { start = { x: event.offsetX, moved: false }; });
      this.canvas.addEventListener("pointermove", (event) => {
        if (start && Math.abs(event.offsetX - start.x) > 4 && this.view === "timeline") {
          start.moved = true;
          const [one, other] = [start.x, event.offsetX].sort((a, b) => a - b);
          this.range.hidden = false;
          this.range.style.left = `${Math.max(one, this.left)}px`;
          this.range.style.width = `${other - Math.max(one, this.left)}px`;
        }
        this.show(event, start && start.moved ? null : this.found(event));
      });
      this.canvas.addEventListener("pointerup", (event) => {
        const was = start;
        start = null;
        this.range.hidden = true;
        if (!was) return;
        if (was.moved) {
          const [one, other] = [was.x, event.offsetX].sort((a, b) => a - b).map((x) => this.at(Math.max(x, this.left)));
          this.zoom(one, other);
        } else {
          const bar = this.found(event);
          if (bar) this.press(bar);
        }
      });
      this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      this.canvas.addEventListener("dblclick", () => this.zoom(0, this.end));
      this.box.addEventListener("keydown", (event) => {
        const span = this.to - this.from;
        const moves = { ArrowLeft: -0.2, ArrowRight: 0.2 };
        if (event.key in moves) {
          const by = Math.max(-this.from, Math.min(this.end - this.to, moves[event.key] * span));
          this.zoom(this.from + by, this.to + by);
        } else if (event.key === "+" || event.key === "=") this.zoom(this.from + span / 4, this.to - span / 4);
        else if (event.key === "-") this.zoom(this.from - span / 2, this.to + span / 2);
        else if (event.key === "0") this.zoom(0, this.end);
        else return;
        event.preventDefault();
      });
      for (const button of document.querySelectorAll("[data-zoom-out]")) button.addEventListener("click", () => this.zoom(0, this.end));
      for (const button of document.querySelectorAll("[data-measure]")) {
        button.addEventListener("click", () => {
          for (const other of document.querySelectorAll("[data-measure]")) other.setAttribute("aria-pressed", String(other === button));
          this.measure = button.dataset.measure;
          this.arrange();
        });
      }
      addEventListener("resize", () => this.draw());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    }
  }

  for (const box of document.querySelectorAll("[data-spans]")) {
    fetch(box.dataset.spans)
      .then((response) => (response.ok ? response.json() : Promise.reject(response.status)))
      .then((answer) => new Drawing(box, rowsOf(answer)))
      .catch((reason) => { box.firstElementChild.textContent = `The spans could not be loaded (${reason}). Reload the page to try again.`; });
  }
})();
