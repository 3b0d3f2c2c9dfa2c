// The data of the page, what is chosen, and the selectors that choose. Text from data only ever becomes text nodes.
"use strict";

const report = { payload: JSON.parse(document.getElementById("payload").textContent), chosen: {}, listeners: [] };

/** Make an element: `make("p", {class: "x", onclick: f}, child, "text")`. */
report.make = function (tag, attributes = {}, ...children) {
  const element = tag === "svg" || tag === "path"
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

/** Where a row keeps what the page writes for its values. */
report.SHOWN = Symbol("shown");

/** Rows of a source as objects; sources travel as columns. */
report.rowsOf = function (source) {
  const { names } = source;
  const unpacked = (column) => (column.texts ? column.at.map((position) => column.texts[position]) : column);
  const columns = source.columns.map(unpacked);
  const shown = Object.entries(source.shown).map(([name, column]) => [name, unpacked(column)]);
  const rows = [];
  for (let i = 0; i < (columns[0] || []).length; i += 1) {
    const row = {};
    names.forEach((name, k) => { row[name] = columns[k][i]; });
    row[report.SHOWN] = Object.fromEntries(shown.map(([name, column]) => [name, column[i]]));
    rows.push(row);
  }
  return rows;
};
for (const exhibit of report.payload.exhibits) {
  for (const [name, source] of Object.entries(exhibit.sources)) exhibit.sources[name] = report.rowsOf(source);
}

/** The rows of one source that fit the choices; rows of hidden backends and runs are left out. */
report.fitting = function (rows, filters, without) {
  const { chosen } = report;
  return rows.filter((row) => filters.every((name) => name === without || !(name in row) || row[name] === chosen[name])
    && !(row.backend !== undefined && chosen.hiddenBackends.has(row.backend))
    && !(row.run !== undefined && chosen.hiddenRuns.has(row.run)));
};

const LABELS = {
  network: "Network", dtype: "Precision", device: "Device", threads: "Threads", phase: "Phase", batch: "Rows in a batch",
  cache: "Start", reference: "Compared with",
};
const WORDS = { cache: { cold: "cold cache", warm: "warm cache" } };
const MANY = 8;

/** What can be chosen for a dimension; for batches, only those measured for the other choices. */
report.options = function (dimension) {
  const all = report.payload.choices[dimension] || [];
  if (dimension !== "batch") return all;
  const found = new Set();
  for (const exhibit of report.payload.exhibits) {
    if (!exhibit.filters.includes("batch")) continue;
    for (const row of report.fitting(exhibit.sources.main, exhibit.filters, "batch")) found.add(row.batch);
  }
  return found.size ? all.filter((batch) => found.has(batch)) : all;
};

/** Where the chosen batch was not measured, take the nearest that was. */
report.settle = function () {
  const batches = report.options("batch");
  if (batches.length && !batches.includes(report.chosen.batch)) {
    const distance = (batch) => Math.abs(Math.log(batch / report.chosen.batch));
    report.chosen.batch = batches.reduce((best, batch) => (distance(batch) < distance(best) ? batch : best));
  }
};

/** Change one choice and draw again what hangs on it. */
report.choose = function (dimension, value) {
  report.chosen[dimension] = value;
  report.settle();
  report.drawChoices();
  report.remember();
  return report.changed(dimension);
};

/** Call everyone who draws; resolves when all is drawn. */
report.changed = async function (dimension) {
  document.body.dataset.state = "drawing";
  report.drawings = (report.drawings || 0) + 1;
  const mine = report.drawings;
  await Promise.all(report.listeners.map((listener) => listener(dimension)));
  if (mine === report.drawings) document.body.dataset.state = "ready";
};

/** Draw every selector from the choices; the one in use keeps the focus. */
report.drawChoices = function () {
  document.querySelectorAll("[data-choose]").forEach((place, position) => {
    const dimension = place.dataset.choose;
    const options = report.options(dimension);
    const focused = place.contains(document.activeElement);
    place.replaceChildren();
    if (options.length < 2) return;
    const id = `choice-${dimension}-${position}`;
    const text = (value) => (WORDS[dimension] || {})[value]
      || (typeof value === "number" ? value.toLocaleString("en-US") : String(value));
    place.append(report.make("span", { id }, LABELS[dimension]));
    if (options.length > MANY) {
      const select = report.make("select", {
        "aria-labelledby": id, "data-dimension": dimension,
        onchange: () => report.choose(dimension, options[select.selectedIndex]),
      }, ...options.map((value) => report.make("option", { selected: value === report.chosen[dimension] }, text(value))));
      place.append(select);
      if (focused) select.focus();
      return;
    }
    const group = report.make("div", { class: "segments", role: "radiogroup", "aria-labelledby": id });
    options.forEach((value, k) => {
      const input = report.make("input", {
        type: "radio", name: id, value: k, "data-dimension": dimension, "data-value": value,
        onchange: () => report.choose(dimension, value),
      });
      input.checked = value === report.chosen[dimension];
      group.append(report.make("label", {}, input, report.make("span", {}, text(value))));
    });
    place.append(group);
    if (focused) group.querySelector(":checked").focus();
  });
};

/** The outline of each of the palette's markers, in a box from -1 to 1. */
const OUTLINES = {
  circle: "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z", square: "M-.86-.86H.86V.86H-.86Z", diamond: "M0-1.15L1.15 0 0 1.15-1.15 0Z",
  "triangle-up": "M0-1.05L1.05.85H-1.05Z", "triangle-down": "M0 1.05L1.05-.85H-1.05Z", "triangle-right": "M1.05 0L-.85-1.05V1.05Z",
  "triangle-left": "M-1.05 0L.85-1.05V1.05Z", cross: "M-.38-1.1H.38V-.38H1.1V.38H.38V1.1H-.38V.38H-1.1V-.38H-.38Z",
};

/** A backend's line and marker, as the charts draw them. */
report.sample = function (backend) {
  const look = report.payload.looks[backend];
  const picture = report.make("svg", { width: 30, height: 14, viewBox: "-15 -7 30 14", "aria-hidden": "true" });
  const dash = look.dash[1] ? look.dash.join(" ") : "none";
  picture.append(
    report.make("path", { d: "M-15 0H15", stroke: look.colour, "stroke-width": 2.2, "stroke-dasharray": dash }),
    report.make("path", {
      d: OUTLINES[look.marker], transform: "scale(4.4)", fill: look.filled ? look.colour : "var(--surface)",
      stroke: look.colour, "stroke-width": 0.36,
    }),
  );
  return picture;
};

/** Check boxes that show and hide backends or runs. */
report.drawToggles = function (place, values, hidden, picture) {
  for (const value of values) {
    const box = report.make("input", {
      type: "checkbox", "data-toggle": value,
      onchange: () => {
        if (box.checked) hidden.delete(value);
        else hidden.add(value);
        report.changed("shown");
      },
    });
    box.checked = !hidden.has(value);
    place.append(report.make("label", { title: value }, box, picture ? picture(value) : null, report.make("span", {}, value)));
  }
};

/** Keep the choices in the address, so that a copied link shows the same; nothing is sent anywhere. */
report.remember = function () {
  const kept = new URLSearchParams();
  for (const dimension of Object.keys(report.payload.choices)) kept.set(dimension, report.chosen[dimension]);
  try { history.replaceState(null, "", `#${kept}`); } catch { /* some viewers forbid it */ }
};

/** Begin with the report's own choices, then with those of the address where they exist here. */
report.recall = function () {
  report.chosen = { ...report.payload.chosen, hiddenBackends: new Set(), hiddenRuns: new Set() };
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const [dimension, options] of Object.entries(report.payload.choices)) {
    const found = options.find((value) => String(value) === kept.get(dimension));
    if (found !== undefined) report.chosen[dimension] = found;
  }
};
