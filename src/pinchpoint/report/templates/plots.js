(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const LIGHT = { text: "#17202b", dim: "#5b6673", grid: "#e3e7ec", zero: "#c4ccd4", broke: "rgba(213,94,0,0.10)", step: "rgba(90,105,120,0.35)",
    blue: "#0072b2", orange: "#e69f00", green: "#009e73", red: "#d55e00", pink: "#cc79a7", sky: "#56b4e9", grey: "#7b8794" };
  const DARK = { text: "#e4e9ef", dim: "#9aa7b4", grid: "#27313c", zero: "#3d4956", broke: "rgba(239,125,60,0.13)", step: "rgba(150,165,180,0.35)",
    blue: "#4aa3dc", orange: "#f0b429", green: "#2fbf93", red: "#ef7d3c", pink: "#dd97bd", sky: "#8fd0f5", grey: "#8d99a6" };
  const CONFIG = { displayModeBar: false, responsive: true };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Plotly reads a little HTML in its texts; names come from the app under test.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const measured = (values) => Array.isArray(values) && values.some((value) => value !== null);

  function layout(colours, height, more) {
    return Object.assign({
      height, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
      font: { family: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12, color: colours.text },
      hoverlabel: { bgcolor: colours === DARK ? "#212b36" : "#ffffff", bordercolor: colours.zero, font: { color: colours.text } },
    }, more);
  }

  const axis = (colours, more) => Object.assign({ gridcolor: colours.grid, zerolinecolor: colours.zero, linecolor: colours.zero,
    tickfont: { color: colours.dim }, title: { font: { color: colours.dim, size: 12 } } }, more);

  // --- client and server on one time axis -----------------------------------------------------------------------------

  function rows(colours) {
    const { client, server } = data.series;
    const line = (name, y, colour, more) => ({ name, y, line: Object.assign({ color: colour, width: 1.6 }, more) });
    const dashes = ["solid", "dot", "dash", "longdash", "dashdot"];
    const workers = (server.workers || []).map((one, index) => line("worker " + one.pid, one.cpu_cores, colours.sky, { width: 1.1, dash: dashes[index % 5] }));
    const mib = (values) => values && values.map((value) => value === null ? null : value / 1048576);
    return [
      { title: "requests/s", weight: 1.3, lines: [line("offered", client.offered_rps, colours.grey, { dash: "dash" }), line("goodput", client.goodput_rps, colours.blue, { width: 2 }),
        line("errors", client.errors_rps, colours.red)] },
      { title: "latency, ms (log)", weight: 1.2, log: true, slo: data.slo.p95_ms, lines: [line("p50", client.p50_ms, colours.blue), line("p95", client.p95_ms, colours.orange)] },
      { title: "CPU, cores", weight: 1.1, lines: [line("target, all", server.cpu_cores, colours.blue, { width: 2 }), ...(workers.length > 1 ? workers : []),
        line("generator, busiest", client.cpu_cores, colours.red, { dash: "dash" })] },
      { title: "share of time", weight: 0.9, lines: [line("event loop busy", server.loop_busy, colours.green, { width: 2 }), line("PSI: CPU waited for", server.psi_cpu, colours.pink)] },
      { title: "requests, members", weight: 1.1, lines: [line("in flight", server.inflight, colours.grey), line("pool busy", server.pool_busy, colours.green, { width: 2 }),
        line("pool waiting", server.pool_waiting, colours.red), line("pool size", server.pool_size, colours.green, { dash: "dot", width: 1 }),
        line("threads busy", server.tokens_busy, colours.sky), line("threads waiting", server.tokens_waiting, colours.pink)] },
      { title: "memory, MiB", weight: 0.8, lines: [line("RSS", mib(server.rss_bytes), colours.blue), line("PSS", mib(server.pss_bytes), colours.orange)] },
    ];
  }

  function drawTimeline(colours) {
    const box = document.getElementById("timeline");
    if (!box) return;
    const all = rows(colours), gaps = [], shown = [];
    for (const row of all) {
      gaps.push(...row.lines.filter((one) => !measured(one.y)).map((one) => one.name));
      row.lines = row.lines.filter((one) => measured(one.y));
      if (row.lines.length) shown.push(row);
    }
    document.getElementById("timeline-gaps").textContent = gaps.length ? "Not measured in this run: " + gaps.join(", ") + "." : "";
    const total = shown.reduce((sum, row) => sum + row.weight, 0), space = 0.028, traces = [], shapes = [], notes = [];
    const more = { margin: { l: 62, r: 150, t: 48, b: 40 }, shapes, annotations: notes,
      xaxis: axis(colours, { title: { text: "seconds since the first step began", font: { color: colours.dim, size: 12 } }, anchor: "y" + (shown.length > 1 ? shown.length : ""), zeroline: false }) };
    let top = 1;
    shown.forEach((row, index) => {
      const id = index ? String(index + 1) : "", bottom = Math.max(0, top - row.weight / total);
      const domain = [index === shown.length - 1 ? 0 : bottom + space, top];
      more["yaxis" + id] = axis(colours, { domain, title: { text: row.title, font: { color: colours.dim, size: 11 } }, type: row.log ? "log" : "linear",
        rangemode: row.log ? "normal" : "tozero", zeroline: !row.log, nticks: 5, dtick: row.log ? 1 : undefined });
      more["legend" + id] = { x: 1.01, y: top, xanchor: "left", yanchor: "top", bgcolor: "rgba(0,0,0,0)", font: { size: 11, color: colours.text }, tracegroupgap: 0 };
      for (const one of row.lines) traces.push({ type: "scatter", mode: "lines", name: one.name, x: data.series.t_s, y: one.y, line: one.line, connectgaps: false,
        xaxis: "x", yaxis: "y" + id, legend: "legend" + id, hovertemplate: "%{y:.4g}" });
      if (row.slo && row.lines.length) {
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y" + id, y0: row.slo, y1: row.slo, line: { color: colours.red, width: 1, dash: "dot" } });
        notes.push({ xref: "paper", x: 1, xanchor: "right", yanchor: "bottom", yref: "y" + id, y: Math.log10(row.slo), text: "p95 limit " + row.slo + " ms", showarrow: false, font: { size: 11, color: colours.red } });
      }
      top = bottom;
    });
    bands(colours, shapes, notes);
    Plotly.react(box, traces, layout(colours, 170 * total / 1.07 + 88, more), CONFIG);
  }

  function bands(colours, shapes, notes) {
    const phases = [];
    for (const band of data.series.bands) {
      if (!band.passed) shapes.push({ type: "rect", layer: "below", xref: "x", yref: "paper", x0: band.from_s, x1: band.to_s, y0: 0, y1: 1, fillcolor: colours.broke, line: { width: 0 } });
      const last = phases[phases.length - 1];
      if (last && last.phase === band.phase) last.to_s = band.to_s;
      else phases.push({ phase: band.phase, from_s: band.from_s, to_s: band.to_s });
    }
    const span = phases.length ? phases[phases.length - 1].to_s - phases[0].from_s : 1;
    let lane = 0;
    const free = [-Infinity, -Infinity, -Infinity];
    phases.forEach((phase) => {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: phase.from_s, x1: phase.from_s, y0: 0, y1: 1.01, line: { color: colours.step, width: 1, dash: "dot" } });
      // A label that would run into its neighbour goes one line higher; a letter is about 0.8 % of the width.
      const label = String(phase.phase).replace("profile-", "profile: ");
      lane = Math.max(0, free.findIndex((end) => end <= phase.from_s));
      free[lane] = phase.from_s + span * 0.0085 * (label.length + 1);
      notes.push({ xref: "x", x: phase.from_s, yref: "paper", y: 1, yanchor: "bottom", yshift: 2 + lane * 13, xanchor: "left", text: safe(label), showarrow: false, font: { size: 11, color: colours.dim } });
    });
    for (const mark of data.series.marks.filter((one) => one.kind !== "note")) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: mark.t_s, x1: mark.t_s, y0: 0, y1: 1, line: { color: colours.red, width: 1.5 } });
      notes.push({ xref: "x", x: mark.t_s, yref: "paper", y: 0, yanchor: "bottom", xanchor: "right", textangle: -90, text: safe(mark.label), showarrow: false, font: { size: 11, color: colours.red } });
    }
  }

  // --- a load profile over time ---------------------------------------------------------------------------------------

  function drawStages(colours) {
    const box = document.getElementById("stages-plot"), stages = data.stages;
    if (!box || !stages) return;
    const shapes = [], notes = [], small = { size: 11, color: colours.red };
    const line = (name, y, colour, axes, more) => ({ type: "scatter", mode: "lines", name, x: stages.t_s, y, connectgaps: false, xaxis: "x", yaxis: axes,
      line: Object.assign({ color: colour, width: 1.6 }, more), hovertemplate: "%{y:.4g}" });
    const traces = [
      line(stages.users ? "users" : "offered", stages.offered, colours.grey, stages.users ? "y3" : "y", { dash: "dash" }),
      ...(stages.users ? [] : [line("started", stages.started_rps, colours.sky, "y")]),
      line("goodput", stages.goodput_rps, colours.blue, "y", { width: 2 }), line("errors", stages.errors_rps, colours.red, "y"),
      line("p50", stages.p50_ms, colours.blue, "y2", { dash: "dot" }), line("p95", stages.p95_ms, colours.orange, "y2", { width: 2 }), line("p99", stages.p99_ms, colours.pink, "y2"),
    ].filter((one) => measured(one.y));
    for (const border of stages.borders) shapes.push({ type: "line", xref: "x", yref: "paper", x0: border.t_s, x1: border.t_s, y0: 0, y1: 1, line: { color: colours.step, width: 1, dash: "dot" } });
    for (const limit of stages.limits_ms) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y2", y0: limit.ms, y1: limit.ms, line: { color: colours.red, width: 1, dash: "dot" } });
      notes.push({ xref: "paper", x: 0, xanchor: "left", yref: "y2", y: Math.log10(limit.ms), yanchor: "bottom", text: safe(limit.text), showarrow: false, font: small });
    }
    if (stages.stop) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: stages.stop.t_s, x1: stages.stop.t_s, y0: 0, y1: 1, line: { color: colours.red, width: 1.5 } });
      notes.push({ xref: "x", x: stages.stop.t_s, yref: "paper", y: 0, yanchor: "bottom", xanchor: "right", textangle: -90, text: safe(stages.stop.text), showarrow: false, font: small });
    }
    const title = (text) => ({ text, font: { color: colours.dim, size: 12 } });
    const more = { margin: { l: 62, r: stages.users ? 62 : 12, t: 30, b: 44 }, shapes, annotations: notes, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      xaxis: axis(colours, { title: title("seconds since the stages began; " + stages.label), anchor: "y2" }),
      yaxis: axis(colours, { domain: [0.47, 1], title: title(stages.users ? "requests/s" : "arrivals/s"), rangemode: "tozero" }),
      yaxis2: axis(colours, { domain: [0, 0.43], type: "log", title: title("latency, ms (log)"), dtick: 1 }) };
    if (stages.users) more.yaxis3 = axis(colours, { overlaying: "y", side: "right", title: title("users"), rangemode: "tozero", showgrid: false });
    Plotly.react(box, traces, layout(colours, 460, more), CONFIG);
  }

  // --- figures against load -------------------------------------------------------------------------------------------

  const users = data.steps.length > 0 && data.steps.every((step) => step.offered_rps === null);
  const loadOf = (step) => users ? step.users : step.offered_rps;
  const tried = data.steps.filter((step) => loadOf(step) !== null);
  const voided = tried.filter((step) => step.phase === "void");
  const sorted = tried.filter((step) => step.phase !== "void").sort((a, b) => loadOf(a) - loadOf(b));
  const xTitle = users ? "closed: users" : "open: arrivals/s offered";
  const LEGEND = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" };

  function vertical(colours, at, text, shapes, notes) {
    if (at === null || at === undefined) return;
    shapes.push({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: colours.green, width: 1.5, dash: "dash" } });
    notes.push({ xref: "x", x: at, yref: "paper", y: 0, yanchor: "bottom", xanchor: "right", textangle: -90, text, showarrow: false, font: { size: 11, color: colours.green } });
  }

  // The 95 % interval of a level.
  function band(interval, colour, shapes) {
    if (!interval) return;
    shapes.push({ type: "rect", layer: "below", fillcolor: colour, opacity: 0.2, line: { width: 0 }, xref: "paper", x0: 0, x1: 1, yref: "y", y0: interval[0], y1: interval[1] });
  }

  // Steps that count for nothing: shown, so that no time of the run is hidden.
  function greyed(colours, read) {
    if (!voided.length) return [];
    return [{ type: "scatter", mode: "markers", name: "does not count", x: voided.map(loadOf), y: voided.map(read), hovertemplate: "%{y:.4g}",
      marker: { size: 8, color: colours.grey, opacity: 0.55, symbol: "x-thin-open", line: { width: 2, color: colours.grey } } }];
  }

  // A load may have been tried more than once: each trial is a mark, the line goes through the median of a load's trials.
  function points(name, values, colour) {
    const x = sorted.map(loadOf), loads = [...new Set(x)];
    const median = loads.map((load) => {
      const trials = values.filter((value, index) => x[index] === load && value !== null).sort((a, b) => a - b);
      return trials.length ? (trials[(trials.length - 1) >> 1] + trials[trials.length >> 1]) / 2 : null;
    });
    return [
      { type: "scatter", mode: "lines", name, legendgroup: name, x: loads, y: median, line: { color: colour, width: 1.8 }, hovertemplate: "%{y:.4g}" },
      { type: "scatter", mode: "markers", name, legendgroup: name, showlegend: false, x, y: values, hoverinfo: "skip",
        marker: { size: 8, color: colour, symbol: sorted.map((step) => step.passed ? "circle" : "x") } },
    ];
  }

  const sustainable = users ? data.capacity.sustainable_users : data.capacity.lower_bound_rps ?? data.capacity.sustainable_rps;

  function drawLatency(colours) {
    const box = document.getElementById("latency");
    if (!box) return;
    const shapes = [], notes = [];
    vertical(colours, sustainable, "highest load that held", shapes, notes);
    if (data.slo.p95_ms) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: data.slo.p95_ms, y1: data.slo.p95_ms, line: { color: colours.red, width: 1.2, dash: "dot" } });
      notes.push({ xref: "paper", x: 0, xanchor: "left", yref: "y", y: Math.log10(data.slo.p95_ms), yanchor: "bottom", text: "p95 limit " + data.slo.p95_ms + " ms", showarrow: false, font: { size: 11, color: colours.red } });
    }
    const pick = (key) => sorted.map((step) => step.latency_ms ? step.latency_ms[key] : null);
    Plotly.react(box, [...points("p50", pick("p50"), colours.blue), ...points("p95", pick("p95"), colours.orange), ...points("p99", pick("p99"), colours.pink),
      ...greyed(colours, (step) => step.latency_ms ? step.latency_ms.p95 : null)],
      layout(colours, 360, { margin: { l: 58, r: 12, t: 30, b: 44 }, shapes, annotations: notes, legend: LEGEND,
        xaxis: axis(colours, { title: { text: xTitle, font: { color: colours.dim, size: 12 } }, rangemode: "tozero" }),
        yaxis: axis(colours, { type: "log", dtick: "D2", title: { text: "ms", font: { color: colours.dim, size: 12 } } }) }), CONFIG);
  }

  function drawGoodput(colours) {
    const box = document.getElementById("goodput");
    if (!box) return;
    const shapes = [], notes = [], most = Math.max(0, ...sorted.map(loadOf)), plateau = data.capacity.saturation_rps;
    vertical(colours, sustainable, "highest load that held", shapes, notes);
    const traces = points("goodput", sorted.map((step) => step.goodput_rps), colours.blue);
    traces.push(...points("errors", sorted.map((step) => step.error_rate === null || step.error_rate >= 1 ? null : step.goodput_rps * step.error_rate / (1 - step.error_rate)), colours.red));
    if (!users) traces.push({ type: "scatter", mode: "lines", name: "served = offered", x: [0, most], y: [0, most], line: { color: colours.grey, width: 1, dash: "dash" }, hoverinfo: "skip" });
    traces.push(...greyed(colours, (step) => step.goodput_rps));
    const held = data.capacity.sustainable_ci_rps;
    if (held && String(held) !== String(data.capacity.saturation_ci_rps)) band(held, colours.green, shapes);
    if (plateau !== null && !users) {
      // METHOD 1.3: min(load, C), fitted up to the largest goodput.
      traces.push({ type: "scatter", mode: "lines", name: "fit: min(offered, plateau)", x: [0, plateau, Math.max(most, plateau)], y: [0, plateau, plateau],
        line: { color: colours.orange, width: 1.4 }, hoverinfo: "skip" });
    }
    if (plateau !== null) {
      band(data.capacity.saturation_ci_rps, colours.orange, shapes);
      if (users) shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: plateau, y1: plateau, line: { color: colours.orange, width: 1.2, dash: "dot" } });
      notes.push({ xref: "paper", x: 0, xanchor: "left", yref: "y", y: plateau, yanchor: "bottom", text: "plateau", showarrow: false, font: { size: 11, color: colours.orange } });
    }
    Plotly.react(box, traces, layout(colours, 360, { margin: { l: 58, r: 12, t: 30, b: 44 }, shapes, annotations: notes, legend: LEGEND,
      xaxis: axis(colours, { title: { text: xTitle, font: { color: colours.dim, size: 12 } }, rangemode: "tozero" }),
      yaxis: axis(colours, { title: { text: "requests/s", font: { color: colours.dim, size: 12 } }, rangemode: "tozero" }) }), CONFIG);
  }

  // --- flame graphs: each in a frame of its own, so that scripts and ids cannot clash; filled when opened ----------------

  function fill(details) {
    const frame = details.querySelector("iframe");
    if (!details.open || !frame || frame.hasAttribute("srcdoc")) return;
    const tall = /<svg[^>]*\sheight="(\d+)"/.exec(frame.dataset.page);
    if (tall) frame.style.height = Math.min(760, Number(tall[1]) + 8) + "px";
    frame.setAttribute("srcdoc", "<!doctype html><meta charset='utf-8'><meta name='color-scheme' content='light dark'><style>body{margin:0}</style>"
      + frame.dataset.page.replace(/^\s*<\?xml[^>]*\?>/, ""));
  }
  for (const details of document.querySelectorAll("#flames details")) {
    fill(details);
    details.addEventListener("toggle", () => fill(details));
  }

  // --- a soak -----------------------------------------------------------------------------------------------------------

  function drawSoakMemory(colours) {
    const box = document.getElementById("soak-memory"), soak = data.soak;
    if (!box || !soak) return;
    const mib = (values) => values.map((value) => value === null ? null : value / 1048576), shapes = [];
    const dot = { size: 5 };
    for (const at of soak.restarts) {
      const index = soak.t_s.findIndex((t) => t >= at);
      if (index >= 0) shapes.push({ type: "line", xref: "x", yref: "paper", x0: soak.requests[index], x1: soak.requests[index], y0: 0, y1: 1, line: { color: colours.red, width: 1, dash: "dot" } });
    }
    const loads = [...new Set(soak.offered_rps)], shades = [colours.blue, colours.sky, colours.grey];
    const traces = loads.map((load, number) => ({ type: "scatter", mode: "lines+markers", name: load ? "at " + Number(load).toPrecision(3) + "/s" : "no load", marker: Object.assign({ color: shades[number % 3] }, dot),
      line: { color: shades[number % 3], width: 1.4 }, x: soak.requests, y: mib(soak.pss_bytes).map((value, index) => soak.offered_rps[index] === load ? value : null), connectgaps: false, hovertemplate: "%{y:.4g} MiB" }));
    Plotly.react(box, traces, layout(colours, 340, { margin: { l: 62, r: 12, t: 30, b: 44 }, shapes, legend: LEGEND, showlegend: true,
      xaxis: axis(colours, { title: { text: "requests completed (open: arrivals/s)", font: { color: colours.dim, size: 12 } }, rangemode: "tozero" }),
      yaxis: axis(colours, { title: { text: "MiB", font: { color: colours.dim, size: 12 } } }) }), CONFIG);
  }

  function drawSoakDrift(colours) {
    const box = document.getElementById("soak-drift"), soak = data.soak;
    if (!box || !soak) return;
    const full = soak.offered_rps.map((load) => load === soak.offered_rps[0]), shapes = [];
    for (const at of soak.restarts) shapes.push({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: colours.red, width: 1, dash: "dot" } });
    const over = (values) => {
      const known = values.filter((value, index) => full[index] && value !== null).sort((a, b) => a - b), middle = known[known.length >> 1];
      return middle ? values.map((value, index) => full[index] && value !== null ? value / middle : null) : null;
    };
    const signals = [["throughput", soak.goodput_rps, colours.blue], ["p95", soak.p95_ms, colours.orange], ["CPU per request", soak.cpu_ms_per_request, colours.green],
      ["descriptors", soak.fds, colours.pink], ["threads", soak.threads, colours.sky]];
    const traces = signals.map(([name, values, colour]) => [name, over(values), colour]).filter(([, values]) => values)
      .map(([name, values, colour]) => ({ type: "scatter", mode: "lines", name, x: soak.t_s, y: values, line: { color: colour, width: 1.5 }, connectgaps: false, hovertemplate: "%{y:.3f}" }));
    Plotly.react(box, traces, layout(colours, 340, { margin: { l: 52, r: 12, t: 30, b: 44 }, shapes, legend: LEGEND, showlegend: true,
      xaxis: axis(colours, { title: { text: "seconds of the first load (open: arrivals/s)", font: { color: colours.dim, size: 12 } }, range: [0, Math.max(...soak.t_s.filter((at, index) => full[index]))] }),
      yaxis: axis(colours, { title: { text: "times its median", font: { color: colours.dim, size: 12 } }, rangemode: "tozero" }) }), CONFIG);
  }

  const draw = (colours) => { drawStages(colours); drawTimeline(colours); drawLatency(colours); drawGoodput(colours); drawSoakMemory(colours); drawSoakDrift(colours); };
  const redraw = () => draw(dark.matches ? DARK : LIGHT);
  redraw();
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => draw(LIGHT));
  window.addEventListener("afterprint", redraw);
})();
