// The points of a chart are one stop of the Tab key: arrows go from one to the next, Escape leaves.
"use strict";

function join(root) {
  for (const chart of root.querySelectorAll(".chart svg[role=group]")) {
    chart.querySelectorAll(".point").forEach((point, n) => { if (n > 0) point.setAttribute("tabindex", "-1"); });
  }
}

document.addEventListener("keydown", (event) => {
  const point = event.target.closest?.(".chart .point");
  if (!point) return;
  if (event.key === "Escape") return point.blur();
  const points = [...point.ownerSVGElement.querySelectorAll(".point")];
  const at = points.indexOf(point);
  const next = {
    ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: points.length - 1,
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  if (!points[next]) return;
  point.setAttribute("tabindex", "-1");
  points[next].setAttribute("tabindex", "0");
  points[next].focus();
});

join(document);
for (const part of document.querySelectorAll("[data-live]")) {
  new MutationObserver(() => join(part)).observe(part, { childList: true });
}
