(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const LIGHT = { text: "#17202b", dim: "#5b6673", grid: "#e3e7ec", zero: "#c4ccd4", hover: "#ffffff", mark: "rgba(0,158,115,0.13)",
    blue: "#0072b2", orange: "#e69f00", green: "#009e73", red: "#d55e00", grey: "#7b8794" };
  const DARK = { text: "#e4e9ef", dim: "#9aa7b4", grid: "#27313c", zero: "#3d4956", hover: "#212b36", mark: "rgba(47,191,147,0.16)",
    blue: "#4aa3dc", orange: "#f0b429", green: "#2fbf93", red: "#ef7d3c", grey: "#8d99a6" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Plotly reads a little HTML in its texts; values and verdicts come from outside.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const at = (value) => data.numeric ? value : safe(value);
  const values = data.rows.map((row) => at(row.value));
  const sorted = data.numeric ? [...data.rows].sort((a, b) => a.value - b.value) : data.rows;

  function layout(colours, yaxis, more) {
    const low = Math.min(...values), high = Math.max(...values), best = data.best === null ? null : values.indexOf(at(data.best));
    const steps = [...values].sort((a, b) => a - b).slice(1).map((value, index) => value - [...values].sort((a, b) => a - b)[index]);
    const half = data.numeric ? Math.min(0.22 * Math.min(...steps, Infinity), 0.5 * (high - low || 1)) : 0.35;
    const middle = best === null ? null : data.numeric ? values[best] : best;
    const pad = data.numeric ? Math.max(0.08 * (high - low), half * 1.1) || 0.5 : 0.5;
    const axis = { gridcolor: colours.grid, zerolinecolor: colours.zero, linecolor: colours.zero, tickfont: { color: colours.dim } };
    const shapes = middle === null ? [] : [{ type: "rect", layer: "below", xref: "x", yref: "paper", x0: middle - half, x1: middle + half, y0: 0, y1: 1,
      fillcolor: colours.mark, line: { width: 0 } }];
    return Object.assign({
      height: 250, autosize: true, margin: { l: 52, r: 10, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, shapes,
      font: { family: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12, color: colours.text },
      hoverlabel: { bgcolor: colours.hover, bordercolor: colours.zero, font: { color: colours.text } },
      xaxis: Object.assign({}, axis, { title: { text: safe(data.knob), font: { color: colours.dim, size: 12 } }, showgrid: false, zeroline: false, fixedrange: true },
        data.numeric ? { tickvals: values, range: [low - pad, high + pad] } : { type: "category", categoryarray: values, range: [-0.5, values.length - 0.5] }),
      yaxis: Object.assign({}, axis, { rangemode: "tozero", nticks: 6, fixedrange: true }, yaxis),
    }, more);
  }

  const put = (id, traces, shape) => {
    const box = document.getElementById(id);
    if (box) Plotly.react(box, traces, shape, { displayModeBar: false, responsive: true });
  };

  // Every run is a mark, half transparent so that repeats do not hide each other; the line goes through the values.
  function runs(key, colour, scale) {
    const x = [], y = [], symbols = [];
    for (const row of data.rows) for (const one of row.repeats) if (one[key] !== null && one[key] !== undefined) {
      x.push(at(row.value)); y.push(one[key] * (scale || 1)); symbols.push(one.counted ? "circle" : "x");
    }
    return { type: "scatter", mode: "markers", x, y, marker: { color: colour, size: 7, opacity: 0.55, symbol: symbols, line: { width: 0 } }, hovertemplate: "%{y:.4g}<extra></extra>" };
  }

  function line(key, colour, scale, name) {
    const y = sorted.map((row) => row.counted && row[key] !== null ? row[key] * (scale || 1) : null);
    return { type: "scatter", mode: data.numeric ? "lines+markers" : "markers", x: sorted.map((row) => at(row.value)), y, name: name || "", connectgaps: true,
      line: { color: colour, width: 1.6 }, marker: { color: colour, size: 9, symbol: "line-ew", line: { color: colour, width: 2 } }, hoverinfo: "skip" };
  }

  function drawRate(colours) {
    const shown = sorted.filter((row) => row.sustainable_rps !== null), traces = [];
    if (data.ideal.length) traces.push({ type: "scatter", mode: "lines", x: data.ideal.map((p) => p[0]), y: data.ideal.map((p) => p[1]), line: { color: colours.grey, width: 1, dash: "dash" }, hoverinfo: "skip" });
    if (data.curve.length) traces.push({ type: "scatter", mode: "lines", x: data.curve.map((p) => p[0]), y: data.curve.map((p) => p[1]), line: { color: colours.orange, width: 2 }, hoverinfo: "skip" });
    traces.push(runs("sustainable_rps", colours.blue));
    traces.push({ type: "scatter", mode: "markers", x: shown.map((row) => at(row.value)), y: shown.map((row) => row.sustainable_rps),
      marker: { color: colours.blue, size: 10, symbol: "diamond" }, hovertemplate: "%{y:.4g}/s<extra></extra>",
      error_y: { type: "data", symmetric: false, array: shown.map((row) => row.ci ? row.ci[1] - row.sustainable_rps : 0), arrayminus: shown.map((row) => row.ci ? row.sustainable_rps - row.ci[0] : 0),
        color: colours.blue, thickness: 1.6, width: 6 } });
    // Where far more would be ideal, the line leaves the figure rather than flattening what was measured.
    const most = Math.max(0, ...data.rows.flatMap((row) => [row.sustainable_rps || 0, row.ci ? row.ci[1] : 0, ...row.repeats.map((one) => one.sustainable_rps || 0)]));
    const [first, last] = data.ideal, top = Math.min(1.6 * most, Math.max(1.08 * most, last ? 1.08 * last[1] : 0)) || 1;
    const edge = last ? Math.min(last[0], first[0] * 0.96 * top / first[1]) : 0;
    const annotations = last ? [{ x: edge, y: first[1] / first[0] * edge, text: "if nothing<br>were shared", align: "right", xanchor: "right", yanchor: "top", xshift: -14, yshift: 8, showarrow: false, font: { size: 11, color: colours.dim } }] : [];
    if (edge < 0.5 * (Math.min(...values) + Math.max(...values))) for (const one of annotations) Object.assign(one, { xanchor: "left", xshift: 8, align: "left" });
    put("rate", traces, layout(colours, { range: [0, top], rangemode: "normal" }, { annotations }));
  }

  function drawVerdict(colours) {
    const x = [], y = [], symbols = [], counts = new Map();
    for (const row of data.rows) for (const one of row.repeats) if (one.verdict !== null) {
      const key = row.value + "\n" + one.verdict, seen = counts.get(key) || 0;
      counts.set(key, seen + 1);
      if (seen === 0) { x.push(at(row.value)); y.push(safe(one.verdict)); symbols.push(key + "\n" + one.counted); }
    }
    const size = symbols.map((key) => 8 + 5 * counts.get(key.split("\n").slice(0, 2).join("\n")));
    const text = symbols.map((key) => { const count = counts.get(key.split("\n").slice(0, 2).join("\n")); return count > 1 ? String(count) : ""; });
    put("verdict", [{ type: "scatter", mode: "markers+text", x, y, text, textfont: { size: 11, color: "#ffffff" }, hovertemplate: "%{y}<extra></extra>", cliponaxis: false,
      marker: { size, color: symbols.map((key) => key.endsWith("true") ? colours.blue : colours.grey), symbol: symbols.map((key) => key.endsWith("true") ? "circle" : "x") } }],
      layout(colours, { type: "category", automargin: true, rangemode: "normal", showgrid: true }));
  }

  function drawBusy(colours) {
    const annotations = [];
    const traces = [];
    for (const [key, colour, name] of [["loop_busy", colours.green, "event loop"], ["slots", colours.orange, "worker slots"]]) {
      const known = sorted.filter((row) => row[key] !== null && row.counted);
      if (!known.length) continue;
      traces.push(line(key, colour), runs(key, colour));
      const last = known[known.length - 1];
      annotations.push({ x: at(last.value), y: last[key], text: name, xanchor: "right", yanchor: "bottom", yshift: 4, showarrow: false, font: { size: 11, color: colour } });
    }
    put("busy", traces, layout(colours, { range: [0, 1.08], tickformat: ".0%" }, { annotations }));
  }

  function draw(colours) {
    drawRate(colours);
    put("p95", [line("p95_ms", colours.orange), runs("p95_ms", colours.orange)], layout(colours, {}));
    put("cpu", [line("cpu_cores", colours.blue), runs("cpu_cores", colours.blue)], layout(colours, {}));
    put("pss", [line("pss_bytes", colours.blue, 1 / 1048576), runs("pss_bytes", colours.blue, 1 / 1048576)], layout(colours, {}));
    drawBusy(colours);
    drawVerdict(colours);
  }

  const redraw = () => draw(dark.matches ? DARK : LIGHT);
  redraw();
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => draw(LIGHT));
  window.addEventListener("afterprint", redraw);
})();
