// The maps of answers: which cards are shown, and the totals behind the cell that is chosen. Arrow keys move in a map.
"use strict";

/** Show the cards of the chosen precision, device and start. */
function showCards() {
  for (const card of document.querySelectorAll(".answer")) {
    const fits = ["dtype", "device", "threads", "cache"].every((name) => !card.dataset[name] || card.dataset[name] === String(report.chosen[name]));
    card.hidden = !fits || report.chosen.hiddenRuns.has(card.dataset.run);
  }
}

/** How many backends the text below a map lists. */
const SHOWN = 5;

/** Write the totals of one cell below its map. */
function showDetail(card, button) {
  const answer = report.payload.answers[Number(card.dataset.card)];
  const cell = answer.cells[Number(button.dataset.cell)];
  for (const other of card.querySelectorAll(".cell")) {
    other.setAttribute("aria-pressed", String(other === button));
    other.tabIndex = other === button ? 0 : -1;
  }
  const shown = cell.totals.slice(0, SHOWN);
  const most = Math.max(...shown.map((total) => total.total_s));
  const list = report.make("dl");
  for (const total of shown) {
    const meter = report.make("div", { class: "meter" });
    meter.style.setProperty("--c", report.payload.looks[total.backend].colour);
    meter.style.width = `${100 * (total.total_s / most)}%`;
    list.append(report.make("dt", {}, total.backend), report.make("dd", {}, meter),
      report.make("dd", { class: "number" }, total.text));
  }
  card.querySelector(".detail").replaceChildren(report.make("p", {}, cell.sentence), list);
}

/** Arrow keys, Home and End move within the map. */
function moveFocus(event) {
  const button = event.target.closest(".cell");
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -99], End: [0, 99] }[event.key];
  if (!button || !steps) return;
  event.preventDefault();
  const lines = [...button.closest("tbody").rows].map((line) => [...line.querySelectorAll(".cell")]);
  const row = lines.findIndex((line) => line.includes(button));
  const clamp = (value, length) => Math.max(0, Math.min(length - 1, value));
  const line = lines[clamp(row + steps[0], lines.length)];
  const next = line[clamp(lines[row].indexOf(button) + steps[1], line.length)];
  next.focus();
  showDetail(next.closest(".answer"), next);
}

report.startMaps = function () {
  for (const card of document.querySelectorAll(".answer")) {
    card.addEventListener("click", (event) => {
      const button = event.target.closest(".cell");
      if (button) showDetail(card, button);
    });
    card.querySelector(".map").addEventListener("keydown", moveFocus);
    const first = card.querySelector(`[data-cell="${report.payload.answers[Number(card.dataset.card)].first}"]`);
    if (first) showDetail(card, first);
  }
  showCards();
};
report.listeners.push(showCards);
// Begins: choices, maps, charts; draws again when dark turns light.
"use strict";

report.recall();
report.settle();
report.drawToggles(document.getElementById("backend-toggles"), report.payload.backends, report.chosen.hiddenBackends, report.sample);
const runToggles = document.getElementById("run-toggles");
if (runToggles) report.drawToggles(runToggles, report.payload.runs.map((run) => run.id), report.chosen.hiddenRuns, null);
report.startMaps();
report.drawChoices();
report.changed("shown");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => report.changed("shown"));
