// Tables of rows, and their CSV. The CSV keeps every digit; the table shows three.
"use strict";

/** What the page writes for one value of a row; the report made these texts, with their units. */
report.text = function (row, name) {
  const shown = row[report.SHOWN][name];
  if (shown !== undefined) return shown;
  const value = row[name];
  return value === null || value === undefined || value === "" ? "–" : String(value);
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
    report.make("td", { class: isText(column) ? "" : "figure" }, report.text(row, column.name)))));
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
