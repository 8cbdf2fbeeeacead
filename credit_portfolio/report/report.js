"use strict";
(function () {
  // ---------------------------------------------------------------- pictures
  var pictures = JSON.parse(document.getElementById("pictures-data").textContent);
  var settings = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d",
                             "autoScale2d", "resetScale2d"],
    showSendToCloud: false,
    plotlyServerURL: ""
  };
  var places = [];
  Object.keys(pictures).forEach(function (name) {
    var place = document.getElementById(name + "-picture");
    var picture = pictures[name];
    var own = Object.assign({}, settings, {toImageButtonOptions: {filename: name, scale: 2}});
    place.textContent = "";
    Plotly.newPlot(place, picture.data, picture.layout, own);
    places.push(place);
  });

  // A sheet of A4 is narrower than most windows, and pictures do not shrink by themselves.
  window.addEventListener("beforeprint", function () {
    places.forEach(function (place) { Plotly.relayout(place, {autosize: false, width: 660}); });
  });
  window.addEventListener("afterprint", function () {
    places.forEach(function (place) { Plotly.relayout(place, {autosize: true, width: null}); });
  });

  // ---------------------------------------------------------------- the customers' table
  var table = document.querySelector("table[data-sortable]");
  if (!table) { return; }
  var body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);
  var texts = new Map(rows.map(function (row) { return [row, row.textContent.toLowerCase()]; }));

  function key(row, column) {
    var cell = row.cells[column];
    if (cell.hasAttribute("data-value")) { return Number(cell.getAttribute("data-value")); }
    return cell.classList.contains("number") ? null : cell.textContent.trim();
  }

  function compare(a, b) {
    return typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true});
  }

  function sortBy(column, down) {
    var known = rows.map(function (row) { return [key(row, column), row]; });
    var filled = known.filter(function (pair) { return pair[0] !== null; });
    var empty = known.filter(function (pair) { return pair[0] === null; });
    filled.sort(function (x, y) { return (down ? -1 : 1) * compare(x[0], y[0]); });
    var place = document.createDocumentFragment();
    filled.concat(empty).forEach(function (pair) { place.appendChild(pair[1]); });
    body.appendChild(place);
  }

  Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
    var button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) { button.appendChild(head.firstChild); }
    head.appendChild(button);
    button.addEventListener("click", function () {
      var now = head.getAttribute("aria-sort");
      var down = now ? now === "ascending" : head.classList.contains("number");
      Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) {
        other.removeAttribute("aria-sort");
      });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(column, down);
    });
  });

  var filter = document.getElementById("customers-filter");
  var count = document.getElementById("customers-count");
  filter.closest("p").hidden = false;
  filter.addEventListener("input", function () {
    var wanted = filter.value.trim().toLowerCase();
    var shown = 0;
    rows.forEach(function (row) {
      row.hidden = texts.get(row).indexOf(wanted) < 0;
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = wanted ? shown + " of " + rows.length + " rows" : "";
  });
}());
