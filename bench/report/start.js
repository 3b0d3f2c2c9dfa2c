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
