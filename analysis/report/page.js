"use strict";
(() => {
  const { figures, dashes, colours } = JSON.parse(document.getElementById("curves").textContent);
  const style = {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: "var(--text)", titleColor: "var(--text)", titleFontWeight: 400,
      gridColor: "var(--rule)", domainColor: "var(--muted)", tickColor: "var(--muted)",
      labelFontSize: 11, titleFontSize: 12,
    },
  };

  const shown = (value) => Number(value.toPrecision(4)).toLocaleString("en");

  /** What a curve says at a task: its mean with its interval, or the value of each of its runs. */
  function told(points) {
    const texts = points.map(([, , , value, low, high]) =>
      (low === high ? shown(value) : `${shown(value)} [${shown(low)}, ${shown(high)}]`));
    return texts.join(", ");
  }

  /** The points at each task, by curve. */
  function byTask(points) {
    const found = new Map();
    for (const point of points) {
      if (!found.has(point[2])) found.set(point[2], new Map());
      const own = found.get(point[2]);
      own.set(point[0], [...(own.get(point[0]) ?? []), point]);
    }
    return found;
  }

  function specification(figure, panel) {
    const domain = figure.lines.map((_, line) => line);
    const tasks = panel.points.map((point) => point[2]);
    const first = tasks.reduce((one, other) => Math.min(one, other), Infinity);
    const last = tasks.reduce((one, other) => Math.max(one, other), -Infinity);
    const x = { domain: tasks.length ? [first, last] : [0, 1], nice: false, zero: false };
    const y = { type: "quantitative", title: panel.y, scale: { domain: panel.range, nice: true, zero: false } };
    const detail = { field: "run" };
    return {
      description: [figure.title, panel.title, panel.y].filter(Boolean).join(" "),
      width: "container",
      height: 210,
      autosize: { type: "fit-x", contains: "padding" },
      config: style,
      params: [{ name: "hidden", value: [] }],
      data: { values: panel.points.map(([line, run, task, value, low, high]) => ({ line, run, task, value, low, high })) },
      transform: [{ filter: "indexof(hidden, datum.line) < 0" }],
      encoding: {
        x: { field: "task", type: "quantitative", title: "task", axis: { tickCount: 4, tickMinStep: 1, grid: false }, scale: x },
      },
      layer: [
        {
          mark: { type: "area", opacity: 0.2, aria: false },
          encoding: { y: { field: "low", ...y }, y2: { field: "high" }, detail, color: colour(domain) },
        },
        {
          mark: { type: "line", strokeWidth: 2, aria: false, point: first === last && { filled: true, size: 45 } },
          encoding: {
            y: { field: "value", ...y }, detail, color: colour(domain),
            strokeDash: { field: "line", type: "nominal", legend: null, scale: { domain, range: domain.map(dash) } },
          },
        },
        {
          transform: [{ filter: { param: "at", empty: false } }],
          mark: { type: "point", filled: true, size: 45, opacity: 1, aria: false },
          encoding: { y: { field: "value", ...y }, color: colour(domain) },
        },
        {
          data: { values: [...byTask(panel.points).keys()].map((task) => ({ task })) },
          params: [{ name: "at", select: { type: "point", fields: ["task"], nearest: true, on: "pointerover,touchmove", clear: "pointerout" } }],
          mark: { type: "rule", color: "var(--muted)", aria: false },
          encoding: {
            opacity: { condition: { param: "at", empty: false, value: 1 }, value: 0 },
            tooltip: [{ field: "task", type: "quantitative", title: "task", format: ".1f" }],
          },
        },
      ],
    };
  }

  const colour = (domain) => ({
    field: "line", type: "nominal", legend: null,
    scale: { domain, range: domain.map((line) => `var(--curve-${line % colours})`) },
  });

  const dash = (line) => (dashes[line].length ? dashes[line] : [1, 0]);

  /** The words beside the pointer: the task, and what each curve says there that is switched on. */
  function tooltip(figure, hidden, tasks, value, sanitize) {
    const task = Number(value.task);
    const lines = figure.lines.map((name, line) => [name || "mean", line, tasks.get(task)?.get(line)])
      .filter(([, line, points]) => points && !hidden.has(line))
      .map(([name, line, points]) => `<tr><th scope="row"><i style="background:var(--curve-${line % colours})"></i>`
        + `${sanitize(name)}</th><td>${sanitize(told(points))}</td></tr>`);
    return `<table><caption>task ${sanitize(task.toLocaleString("en"))}</caption>${lines.join("")}</table>`;
  }

  async function draw(place, figure) {
    const hidden = new Set();
    const views = [];
    for (const [number, panel] of figure.panels.entries()) {
      const tasks = byTask(panel.points);
      const drawn = await vegaEmbed(place.querySelector(`[data-panel="${number}"]`), specification(figure, panel), {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true,
        tooltip: {
          disableDefaultStyle: true,
          formatTooltip: (value, sanitize) => tooltip(figure, hidden, tasks, value, sanitize),
        },
      });
      views.push(drawn.view);
    }
    for (const button of place.querySelectorAll("button[data-line]")) {
      button.addEventListener("click", () => {
        const line = Number(button.dataset.line);
        if (!hidden.delete(line)) hidden.add(line);
        button.setAttribute("aria-pressed", String(!hidden.has(line)));
        for (const view of views) view.signal("hidden", [...hidden]).runAsync();
      });
      button.disabled = false;
    }
    place.dataset.drawn = "true";
  }

  (async () => {
    for (const [name, figure] of Object.entries(figures)) await draw(document.getElementById(name), figure);
    document.documentElement.dataset.drawn = "true";
  })();
})();
