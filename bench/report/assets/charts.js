// The charts: one panel a run, on one scale, with a text that says what is seen.
"use strict";

report.views = new Map();

/** Colours of text and lines from the page's own style, so that dark and light are decided in one place. */
function chartConfig() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const [ink, soft, line, font] = [value("--ink"), value("--soft"), value("--line"), value("--sans")];
  return {
    background: null, font, view: { stroke: null },
    axis: {
      labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12,
      titleFontWeight: "normal", titlePadding: 9, labelPadding: 5, domain: false, labelLimit: 150,
    },
    axisX: { domain: true },
    style: {
      "ink-line": { color: ink }, "ink-text": { color: ink }, "soft-line": { color: soft }, "soft-text": { color: soft },
      "soft-area": { color: soft }, bar: { stroke: value("--surface"), strokeWidth: 1.5 },
    },
    text: { font },
  };
}

/** Smallest and largest row by each column that the runs must share. */
function extentRows(exhibit, rows) {
  const found = (exhibit.sources.limit || []).length
    ? report.fitting(exhibit.sources.limit, exhibit.filters).map((row) => ({ batch: row.batch, seconds: row.limit_s })) : [];
  for (const name of exhibit.extent) {
    const valid = rows.filter((row) => typeof row[name] === "number" && Number.isFinite(row[name]));
    if (!valid.length) continue;
    const by = (better) => valid.reduce((best, row) => (better(row[name], best[name]) ? row : best));
    found.push(by((a, b) => a < b), by((a, b) => a > b));
  }
  return found;
}

/** A chart in words: where each backend begins and ends. */
function inWords(exhibit, rows) {
  if (!exhibit.alternative) return `${exhibit.title}: ${rows.length} rows; the table below has them all.`;
  const [series, x, y] = exhibit.alternative;
  const groups = Map.groupBy ? Map.groupBy(rows, (row) => row[series]) : new Map(rows.map((row) => [row[series], rows.filter((other) => other[series] === row[series])]));
  const parts = [...groups].map(([name, own]) => {
    const points = x === series ? own : [...own].sort((a, b) => a[x] - b[x]);
    const [first, last] = [points[0], points[points.length - 1]];
    const from = x === series ? report.text(first, y) : `${report.text(first, y)} at ${report.text(first, x)}`;
    return points.length < 2 ? `${name}: ${from}` : `${name}: from ${from} to ${report.text(last, y)} at ${report.text(last, x)}`;
  });
  return `${exhibit.title}. ${parts.join("; ")}. The table below has every figure.`;
}

/** Put one chart into one place; the rows of every source are given by name. */
async function drawChart(key, exhibit, sources, place, words) {
  const { columns, step } = exhibit.spec.usermeta || {};
  const height = exhibit.spec.height || step * columns.reduce((lines, name) => lines * new Set(sources.main.map((row) => row[name])).size, 1);
  const spec = {
    ...exhibit.spec, height, datasets: sources,
    layer: exhibit.spec.layer.filter((layer) => !layer.data || !layer.data.name || sources[layer.data.name].length),
  };
  const shown = await vegaEmbed(place, spec, { renderer: "svg", actions: false,  config: chartConfig(), tooltip: { theme: "custom" } });
  const before = report.views.get(key);
  if (before) before.finalize();
  report.views.set(key, shown);
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", words);
}

/** What is counted by a choice that is a number. */
const COUNTED = { batch: " rows", threads: " threads" };

/** Draw an exhibit for what is chosen: charts, table, and the line that says what is shown. */
report.drawExhibit = async function (exhibit) {
  const figure = document.getElementById(exhibit.id);
  const rows = report.fitting(exhibit.sources.main, exhibit.filters);
  const said = exhibit.filters.map((name) => `${report.chosen[name].toLocaleString("en-US")}${COUNTED[name] || ""}`);
  figure.querySelector(".shown").textContent = said.join(" · ");
  report.drawTable(exhibit, rows, figure.querySelector(".table"));
  if (!exhibit.spec) return;
  const panels = figure.querySelector(".panels");
  if (!rows.length) {
    panels.replaceChildren(report.make("p", { class: "empty" }, exhibit.empty));
    return;
  }
  const runs = report.payload.runs.filter((run) => rows.some((row) => row.run === run.id));
  const kept = [...panels.children];
  const wanted = runs.map((run) => kept.find((panel) => panel.dataset.run === run.id) || report.make("div", { class: "panel", "data-run": run.id },
    ...(report.payload.runs.length > 1 ? [report.make("h4", {}, run.id, " ", report.make("small", {}, run.line))] : []),
    report.make("div", { class: "chart" })));
  if (wanted.length !== kept.length || wanted.some((panel, k) => panel !== kept[k])) panels.replaceChildren(...wanted);
  await Promise.all(runs.map((run, k) => {
    const sources = {};
    for (const [name, all] of Object.entries(exhibit.sources)) {
      sources[name] = name === "main" ? rows.filter((row) => row.run === run.id)
        : report.fitting(all, exhibit.filters).filter((row) => row.run === undefined || row.run === run.id);
    }
    sources.extent = runs.length > 1 ? extentRows(exhibit, rows) : [];
    return drawChart(`${exhibit.id}/${run.id}`, exhibit, sources, wanted[k].querySelector(".chart"), inWords(exhibit, sources.main));
  }));
};

/** Save what an exhibit shows, one SVG a run. */
report.savePictures = async function (exhibit) {
  for (const run of report.payload.runs) {
    const shown = report.views.get(`${exhibit.id}/${run.id}`);
    if (shown && document.body.contains(shown.view.container())) {
      report.save(`${exhibit.id}-${run.id}.svg`, "image/svg+xml", await shown.view.toSVG());
    }
  }
};

/** Exhibits that hang on a choice: those that filter by it; everything where what is shown or how has changed. */
report.listeners.push((dimension) => Promise.all(report.payload.exhibits
  .filter((exhibit) => dimension === "shown" || exhibit.filters.includes(dimension) || exhibit.filters.includes("batch"))
  .map((exhibit) => report.drawExhibit(exhibit))));
