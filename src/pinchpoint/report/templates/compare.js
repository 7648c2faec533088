(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const LIGHT = { text: "#17202b", dim: "#5b6673", grid: "#e3e7ec", zero: "#c4ccd4", hover: "#ffffff", red: "#d55e00", before: "#8a94a0", after: "#0072b2" };
  const DARK = { text: "#e4e9ef", dim: "#9aa7b4", grid: "#27313c", zero: "#3d4956", hover: "#212b36", red: "#ef7d3c", before: "#7d8894", after: "#4aa3dc" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Plotly reads a little HTML in its texts; names come from outside.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const SIDES = [["before", "A"], ["after", "B"]];

  function layout(colours, xaxis, yaxis, more) {
    const axis = { gridcolor: colours.grid, zerolinecolor: colours.zero, linecolor: colours.zero, tickfont: { color: colours.dim }, fixedrange: true };
    return Object.assign({
      height: 250, autosize: true, margin: { l: 56, r: 12, t: 8, b: 42 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12, color: colours.text },
      hoverlabel: { bgcolor: colours.hover, bordercolor: colours.zero, font: { color: colours.text } },
      xaxis: Object.assign({}, axis, { zeroline: false }, xaxis), yaxis: Object.assign({}, axis, { nticks: 6 }, yaxis),
    }, more);
  }

  const put = (id, traces, shape) => {
    const box = document.getElementById(id);
    if (box) Plotly.react(box, traces, shape, { displayModeBar: false, responsive: true });
  };
  const title = (colours, text) => ({ title: { text: safe(text), font: { color: colours.dim, size: 12 } } });

  // One line a run, against load; a cross is a load that broke a limit.
  function against(id, key, colours, yaxis, scale, more) {
    const traces = SIDES.map(([side, letter]) => {
      const shown = data.levels[side].filter((level) => level[key] !== null);
      return { type: "scatter", mode: "lines+markers", name: letter, x: shown.map((level) => level.load), y: shown.map((level) => level[key] * (scale || 1)),
        line: { color: colours[side], width: 1.6 }, marker: { color: colours[side], size: 8, symbol: shown.map((level) => level.held ? "circle" : "x") },
        hovertemplate: letter + ": %{y:.4g} at %{x:.4g}<extra></extra>" };
    });
    put(id, traces, layout(colours, Object.assign({ type: "log" }, title(colours, data.load)), yaxis, more));
  }

  // Marks beside each other, one row a name; an interval that is open at one end is drawn to the mark only.
  function rows(id, list, name, colours, xaxis) {
    const names = list.map((row) => safe(row[name]));
    const traces = SIDES.map(([side, letter], index) => {
      const shown = list.map((row, at) => [row[side], at]).filter(([one]) => one && one.value !== null);
      const far = (one, end, sign) => one[end] === null || one[end] === undefined || (end === "low" && one[end] <= 0) ? 0 : Math.max(0, sign * (one[end] - one.value));
      return { type: "scatter", mode: "markers", name: letter, x: shown.map(([one]) => one.value), y: shown.map(([, at]) => at + (index ? 0.16 : -0.16)),
        marker: { color: colours[side], size: 10, symbol: "diamond" }, hovertemplate: letter + ": %{x:.4g}/s<extra></extra>",
        error_x: { type: "data", symmetric: false, array: shown.map(([one]) => far(one, "high", 1)), arrayminus: shown.map(([one]) => far(one, "low", -1)), color: colours[side], thickness: 1.6, width: 5 } };
    });
    put(id, traces, layout(colours, xaxis, { tickvals: names.map((_, at) => at), ticktext: names, range: [names.length - 0.5, -0.5], automargin: true, zeroline: false, nticks: 0 },
      { height: Math.max(250, 60 + 34 * names.length) }));
  }

  function draw(colours) {
    rows("capacity", data.capacity, "name", colours, { rangemode: "tozero" });
    const limits = [...new Set(data.limits.filter((value) => value !== null))];
    const shapes = limits.map((value) => ({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: value, y1: value, line: { color: colours.red, width: 1, dash: "dot" } }));
    against("p95", "p95_ms", colours, { type: "log" }, 1, { shapes });
    against("goodput", "goodput_rps", colours, { rangemode: "tozero" });
    against("cpu", "cpu_ms_per_request", colours, { rangemode: "tozero" });
    against("memory", "memory", colours, { rangemode: "tozero" }, 1 / 1048576);
    rows("ledger", data.ledger, "resource", colours, { type: "log" });
  }

  const redraw = () => draw(dark.matches ? DARK : LIGHT);
  redraw();
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => draw(LIGHT));
  window.addEventListener("afterprint", redraw);
})();
