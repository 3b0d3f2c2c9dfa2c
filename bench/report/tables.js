// Numbers as text, tables of rows, and their CSV. The CSV keeps every digit; the table shows three.
"use strict";

/** Three significant digits, thousands separated. */
function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return value.toExponential(2);
  const rounded = Number(value.toPrecision(3));
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function scaled(value, units, base) {
  let position = 0;
  while (position < units.length - 1 && Math.abs(Number((value / base ** position).toPrecision(3))) >= base) position += 1;
  return `${digits(value / base ** position)} ${units[position]}`;
}

const FORMATS = {
  text: (value) => String(value),
  yes: (value) => (value ? "yes" : "no"),
  seconds: (value) => (value === 0 ? "0 s" : value >= 600 ? (value >= 7200 ? `${digits(value / 3600)} h` : `${digits(value / 60)} min`)
    : value >= 0.9995 ? `${digits(value)} s` : scaled(value * 1e9, ["ns", "µs", "ms"], 1000)),
  count: (value) => value.toLocaleString("en-US"),
  ratio: (value) => `${digits(value)}×`,
  percent: (value) => `${digits(100 * value)} %`,
  bytes: (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024),
  rate: (value) => scaled(value, ["", "k", "M", "G", "T", "P"], 1000),
  number: digits,
};

report.format = function (value, format) {
  if (value === null || value === undefined || value === "" || Number.isNaN(value)) return "–";
  return typeof value === "number" || format === "yes" ? (FORMATS[format] || FORMATS.number)(value) : String(value);
};

/** One field of a CSV file; a text that a spreadsheet would take for a formula is kept a text. */
function field(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

report.csv = function (columns, rows) {
  const lines = [columns.map((column) => field(column.name)), ...rows.map((row) => columns.map((column) => field(row[column.name])))];
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
};

/** Hand a text to the reader as a file; it is made here, no request is sent. */
report.save = function (name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = report.make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
};

/** A table of rows with its downloads. */
report.drawTable = function (exhibit, rows, place) {
  const shown = exhibit.columns.filter((column) => !exhibit.filters.includes(column.name)
    && !(column.name === "run" && report.payload.runs.length < 2));
  const isText = (column) => column.format === "text" || column.format === "yes";
  const head = shown.map((column) => report.make("th", { scope: "col", class: isText(column) ? "" : "figure" }, column.label));
  const body = rows.map((row) => report.make("tr", { class: row.unlike === true ? "unlike" : "" }, ...shown.map((column) =>
    report.make("td", { class: isText(column) ? "" : "figure" }, report.format(row[column.name], column.format)))));
  const table = report.make("table", {}, report.make("caption", { class: "sr" }, exhibit.title),
    report.make("thead", {}, report.make("tr", {}, ...head)), report.make("tbody", {}, ...body));
  const everything = () => report.csv(exhibit.columns, exhibit.sources.main);
  if (!rows.length) {
    place.replaceChildren(report.make("p", { class: "empty" }, exhibit.empty));
    return;
  }
  place.replaceChildren(
    report.make("div", { class: "actions" },
      report.make("button", { type: "button", "data-save": "shown", onclick: () => report.save(`${exhibit.id}.csv`, "text/csv", report.csv(exhibit.columns, rows)) },
        "CSV of this table"),
      exhibit.filters.length
        ? report.make("button", { type: "button", "data-save": "all", onclick: () => report.save(`${exhibit.id}-all.csv`, "text/csv", everything()) },
          "CSV of every selection")
        : null,
      exhibit.spec
        ? report.make("button", { type: "button", "data-save": "svg", onclick: () => report.savePictures(exhibit) }, "Picture (SVG)")
        : null),
    report.make("div", { class: "rows", tabindex: 0, role: "region", "aria-label": `Table: ${exhibit.title}` }, table),
  );
};
