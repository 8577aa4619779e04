// Charts: each .plot has what to draw in data-chart (see charts.py). uPlot is loaded where there is one.
// Colours come from the style sheet, so a change of theme draws anew; a click or a drag leads to the jobs of that time.
const HEIGHT = 200;
const CLICK_PX = 4;
const drawn = new Map(); // holder -> {plot: uPlot, text, observer, chart}
let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.uplot;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("uPlot does not load"));
    document.head.append(script);
  });
  return loading;
}

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);
function colour(name, opacity = 1) {
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  const [r, g, b] = found.match(/[\d.]+/g) ?? [0, 0, 0];
  return opacity === 1 ? found : `rgb(${r} ${g} ${b} / ${opacity})`;
}

// --- words
function duration(seconds) {
  if (seconds > 0 && seconds < 0.01) return `${Math.round(seconds * 10000) / 10} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 6) / 10} min`;
  if (seconds < 86400) return `${Math.round(seconds / 360) / 10} h`;
  return `${Math.round(seconds / 8640) / 10} d`;
}
function size(bytes) {
  let [n, unit] = [bytes, 0];
  while (n >= 1024 && unit < 4) [n, unit] = [n / 1024, unit + 1];
  return `${n < 10 && unit ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}
const number = (n) => (n < 10 && n % 1 ? String(Math.round(n * 100) / 100) : Math.round(n).toLocaleString("en").replaceAll(",", "\u202f"));
const WORDS = {
  count: number,
  rate: (n) => `${number(n)}/s`,
  seconds: duration,
  bytes: size,
  share: (n) => `${number(n * 100)} %`,
};
const clock = (unix, long) =>
  new Date(unix * 1000).toLocaleString([], { ...(long && { month: "short", day: "numeric" }), hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// --- where a chart leads
function stamp(unix) {
  return new Date(Math.round(unix) * 1000).toISOString().replace(".000", "");
}
function follow(chart, from, to, line) {
  if (!chart.link) return;
  const terms = [chart.filter, line?.filter, `since:${stamp(from)}`, `until:${stamp(to)}`];
  const address = new URL(chart.link, location.href);
  address.searchParams.set("q", terms.filter(Boolean).join(" "));
  location.href = address;
}

// --- drawing
// What no line leads to, because nothing is known before and after it, is shown as a point.
const lonely = (values) =>
  [...values.keys()].filter((n) => values[n] != null && values[n - 1] == null && values[n + 1] == null);

function ink(line, chart) {
  const main = colour(line.tone);
  return {
    label: line.label,
    stroke: main,
    width: 1.75,
    fill: line.filled ? colour(line.tone, 0.12) : undefined,
    points: { show: chart.times.length < 3, size: 4, filter: (u, n, show) => (show ? null : lonely(u.data[n])) },
    spanGaps: false,
    value: (_, value) => (value == null ? "–" : WORDS[chart.unit](value)),
  };
}

// The last part of a line whose span is not over: dashed.
function unfinished(chart) {
  return (u) => {
    const last = chart.times.length - 1;
    if (!chart.unfinished || last < 2) return;
    const { ctx } = u;
    u.series.slice(1).forEach((series, n) => {
      const [from, to] = [chart.lines[n].values[last - 1], chart.lines[n].values[last]];
      if (from == null || to == null || !series.show) return;
      const at = (time, value) => [u.valToPos(time, "x", true), u.valToPos(value, "y", true)];
      ctx.save();
      ctx.strokeStyle = typeof series.stroke === "function" ? series.stroke(u, n + 1) : series.stroke;
      ctx.lineWidth = series.width * devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(...at(chart.times[last - 1], from));
      ctx.lineTo(...at(chart.times[last], to));
      ctx.stroke();
      ctx.restore();
    });
  };
}
function marks(chart) {
  return (u) => {
    for (const mark of chart.marks) {
      const x = u.valToPos(mark.at, "x", true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      const { ctx } = u;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour("quiet");
      ctx.setLineDash([2, 3]);
      ctx.beginPath();
      ctx.moveTo(x, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + u.bbox.height);
      ctx.stroke();
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      // Beside its line, on the side where there is room.
      const label = mark.label.slice(0, 24);
      const gap = 5 * devicePixelRatio;
      const fits = x + gap + ctx.measureText(label).width <= u.bbox.left + u.bbox.width;
      ctx.textAlign = fits ? "left" : "right";
      ctx.fillText(label, fits ? x + gap : x - gap, u.bbox.top + 12 * devicePixelRatio);
      ctx.restore();
    }
  };
}

function tip(chart, holder) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  holder.append(box);
  const long = chart.times.length > 1 && chart.times.at(-1) - chart.times[0] > 86400;
  return (u) => {
    const { idx, left } = u.cursor;
    box.hidden = idx == null || left < 0;
    if (box.hidden) return;
    const lines = chart.lines.map((line) => {
      const row = document.createElement("div");
      const value = document.createElement("b");
      const found = line.values[idx];
      value.textContent = found == null ? "–" : WORDS[chart.unit](found);
      row.append(`${line.label} `, value);
      return row;
    });
    const head = document.createElement("div");
    head.className = "quiet";
    head.textContent = clock(chart.times[idx], long) + (chart.unfinished && idx === chart.times.length - 1 ? ", not over" : "");
    box.replaceChildren(head, ...lines);
    const room = holder.clientWidth - box.offsetWidth - 4;
    box.style.left = `${Math.min(Math.max(u.bbox.left / devicePixelRatio + left + 14, 0), room)}px`;
    box.style.top = "0.5rem";
  };
}

function options(chart, holder, width) {
  const say = WORDS[chart.unit];
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  let pressed = null;
  return {
    width,
    height: HEIGHT,
    padding: [10, 18, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 7 },
      drag: { x: Boolean(chart.link), y: false, setScale: false },
      bind: { dblclick: () => null },
    },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
    axes: [
      { ...axis, space: 70, size: 28, grid: { show: false }, values: times(chart) },
      { ...axis, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : say(tick))), size: 62, space: 38, gap: 6 },
    ],
    series: [{}, ...chart.lines.map((line) => ink(line, chart))],
    hooks: {
      draw: [unfinished(chart), marks(chart)],
      setCursor: [tip(chart, holder)],
      setSelect: [
        (u) => {
          const { left, width: wide } = u.select;
          if (wide > CLICK_PX) follow(chart, u.posToVal(left, "x"), u.posToVal(left + wide, "x") + chart.span);
        },
      ],
      ready: [
        (u) => {
          u.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
          u.over.addEventListener("click", (event) => {
            if (pressed === null || Math.abs(event.clientX - pressed) > CLICK_PX || u.cursor.idx == null) return;
            const from = chart.times[u.cursor.idx];
            follow(chart, from, from + chart.span, nearest(chart, u));
          });
        },
      ],
    },
  };
}
function times(chart) {
  const long = chart.times.length > 1 && chart.times.at(-1) - chart.times[0] > 2 * 86400;
  const short = chart.times.length > 1 && chart.times.at(-1) - chart.times[0] < 300;
  return (_, ticks) =>
    ticks.map((unix) => {
      const date = new Date(unix * 1000);
      if (long) return date.toLocaleDateString([], { month: "short", day: "numeric" });
      return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(short && { second: "2-digit" }), hourCycle: "h23" });
    });
}
// The line that the pointer is on, if it is near enough to mean it.
function nearest(chart, u) {
  const { idx, top } = u.cursor;
  const far = chart.lines.map((line) => (line.values[idx] == null ? Infinity : Math.abs(u.valToPos(line.values[idx], "y") - top)));
  const best = far.indexOf(Math.min(...far));
  return far[best] <= 24 ? chart.lines[best] : undefined;
}

const alike = (a, b) =>
  a.unit === b.unit && a.lines.length === b.lines.length && a.lines.every((line, n) => line.label === b.lines[n].label && line.tone === b.lines[n].tone);
// Without the part that is not over, which is dashed: see `unfinished`.
const over = (chart, values) => (chart.unfinished && values.length > 2 ? [...values.slice(0, -1), null] : values);
const columns = (chart) => [chart.times, ...chart.lines.map((line) => over(chart, line.values))];

function draw(uPlot, holder, anew) {
  const text = holder.dataset.chart;
  const chart = JSON.parse(text);
  const old = drawn.get(holder);
  if (old && !anew && alike(old.chart, chart)) {
    Object.assign(old.chart, chart); // what was handed to uPlot looks into it
    old.text = text;
    old.plot.setData(columns(chart));
    return;
  }
  old?.plot.destroy();
  old?.observer.disconnect();
  holder.replaceChildren();
  const width = holder.clientWidth;
  if (!width) return drawn.delete(holder);
  const plot = new uPlot(options(chart, holder, width), columns(chart), holder);
  const observer = new ResizeObserver(() => {
    if (holder.clientWidth && Math.abs(holder.clientWidth - plot.width) > 1) plot.setSize({ width: holder.clientWidth, height: HEIGHT });
  });
  observer.observe(holder);
  drawn.set(holder, { plot, text, observer, chart });
}

async function show(anew) {
  const holders = [...document.querySelectorAll("[data-chart]")];
  for (const [holder, { plot, observer }] of drawn) {
    if (holders.includes(holder)) continue;
    plot.destroy();
    observer.disconnect();
    drawn.delete(holder);
  }
  const changed = holders.filter((holder) => anew || drawn.get(holder)?.text !== holder.dataset.chart);
  if (!changed.length) return;
  const uPlot = await load();
  for (const holder of changed) if (holder.isConnected && !holder.matches(":has(.u-over:active)")) draw(uPlot, holder, anew);
}

document.addEventListener("umbel:shown", () => show(false));
document.addEventListener("umbel:theme", () => show(true));
show(false);
