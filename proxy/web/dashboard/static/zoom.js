// A button on charts over time: it puts a chart that can be zoomed (uPlot) in the place of the drawing, and back.
"use strict";

const WRITERS = {
  usd: (value) => value.toLocaleString("en-US", {
    style: "currency", currency: "USD", maximumFractionDigits: Math.abs(value) < 1 && value !== 0 ? 6 : 2,
  }),
  count: (value) => value.toLocaleString("en-US", { maximumFractionDigits: 1 }),
  ms: (value) => `${value.toLocaleString("en-US", { maximumFractionDigits: 0 })} ms`,
};

class ZoomedChart {
  constructor(box) {
    this.figure = box.querySelector("figure");
    this.drawing = this.figure.querySelector("svg[role=group]");
    this.given = JSON.parse(box.dataset.zoom);
    this.plot = null;
    this.room = document.createElement("div");
    this.room.className = "zoom-room";
    this.room.hidden = true;
    this.drawing.before(this.room);
    this.tools = document.createElement("span");
    this.tools.className = "zoom-tools";
    this.figure.querySelector("figcaption").append(this.tools);
    this.toggle = this.addButton("Zoom", () => (this.plot ? this.close() : this.open()));
    this.toggle.setAttribute("aria-expanded", "false");
    this.steps = [
      this.addButton("Closer", () => this.zoom(0.5, 0)), this.addButton("Wider", () => this.zoom(2, 0)),
      this.addButton("Earlier", () => this.zoom(1, -0.5)), this.addButton("Later", () => this.zoom(1, 0.5)),
    ];
    for (const step of this.steps) step.hidden = true;
    this.figure.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.plot) { this.close(); this.toggle.focus(); }
    });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.room);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      if (this.plot) { this.close(); this.open(); }
    });
  }

  addButton(text, action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = text;
    button.addEventListener("click", action);
    this.tools.append(button);
    return button;
  }

  size() { return { width: Math.max(this.room.clientWidth, 200), height: 260 }; }

  open() {
    this.drawing.setAttribute("hidden", "");
    this.room.hidden = false;
    this.plot = new uPlot(this.options(), [this.given.times, ...this.drawn()], this.room);
    for (const step of this.steps) step.hidden = false;
    this.toggle.textContent = "Back";
    this.toggle.setAttribute("aria-expanded", "true");
  }

  close() {
    this.plot.destroy();
    this.plot = null;
    this.room.hidden = true;
    this.drawing.removeAttribute("hidden");
    for (const step of this.steps) step.hidden = true;
    this.toggle.textContent = "Zoom";
    this.toggle.setAttribute("aria-expanded", "false");
  }

  // by how much wider, and by which part of what is shown to the side; never beyond the values
  zoom(factor, shift) {
    const { min, max } = this.plot.scales.x;
    const [first, last] = [this.given.times[0], this.given.times.at(-1)];
    const length = Math.min((max - min) * factor, last - first);
    let from = (min + max) / 2 - length / 2 + shift * length;
    from = Math.min(Math.max(from, first), last - length);
    if (length > 0) this.plot.setScale("x", { min: from, max: from + length });
  }

  // where areas are stacked, each line is the sum of its series and those below
  drawn() {
    const sums = this.given.times.map(() => 0);
    return this.given.series.map((one) => {
      if (!this.given.stacked) return one.values;
      return one.values.map((value, n) => (sums[n] += value ?? 0));
    });
  }

  local(seconds) { return uPlot.tzDate(new Date(seconds * 1000), this.given.zone); }

  moment(step) {
    const write = uPlot.fmtDate(step < 86400 ? "{HH}:{mm}" : step < 2419200 ? "{MM}-{DD}" : "{YYYY}-{MM}");
    return (seconds) => write(this.local(seconds));
  }

  options() {
    const looks = getComputedStyle(this.figure);
    const write = WRITERS[this.given.unit];
    const axis = {
      stroke: looks.getPropertyValue("--chart-faint"), grid: { stroke: looks.getPropertyValue("--chart-grid"), width: 1 },
      ticks: { show: false }, font: "12px system-ui, sans-serif",
    };
    return {
      ...this.size(),
      tzDate: (seconds) => this.local(seconds),
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: (_, min, max) => [Math.min(0, min ?? 0), (max || 1) * 1.05] } },
      axes: [{ ...axis, values: (_, splits, __, ___, step) => splits.map(this.moment(step)) }, { ...axis, size: 76, values: (_, splits) => splits.map(write) }],
      series: [
        { value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...this.given.series.map((one) => this.line(one, write)),
      ],
      bands: this.given.stacked ? this.given.series.slice(1).map((_, n) => ({ series: [n + 2, n + 1] })) : [],
    };
  }

  line(one, write) {
    const sample = document.createElement("span");
    sample.className = one.look;
    this.figure.append(sample);
    const looks = getComputedStyle(sample);
    const colour = looks.color;
    const dash = looks.getPropertyValue("--dash").split(" ").map(Number).filter((length) => length > 0);
    sample.remove();
    return {
      label: one.name, stroke: colour, width: 2, dash, spanGaps: false, points: { show: this.given.times.length < 60 },
      fill: this.given.stacked ? colour.replace("rgb(", "rgba(").replace(")", ", 0.35)") : undefined,
      value: (_, __, ___, n) => (n === null || one.values[n] === null ? "\u2013" : write(one.values[n])),
    };
  }
}

for (const box of document.querySelectorAll(".zoomable")) new ZoomedChart(box);
