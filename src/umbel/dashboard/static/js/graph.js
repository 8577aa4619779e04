// The graph of a flow: larger, smaller, moved; and as the reader left it when the page is shown anew.
const STEP = 1.25;
const [SMALLEST, LARGEST] = [0.1, 4];
const STILL_PX = 4; // a press that moves less is a click
let scale = 0; // 0: as large as fits
let moved = null;

const frame = () => document.querySelector("[data-graph] .frame-of-graph");
const fitting = (box, size) => Math.min(1, Math.max(0.25, (box.clientWidth - 2) / size.width));

function draw(x = 0.5, y = 0.5) {
  const box = frame();
  const svg = box?.querySelector("svg");
  if (!svg) return;
  const size = svg.viewBox.baseVal;
  const before = svg.width.baseVal.value;
  const factor = scale || fitting(box, size);
  const [left, top] = [box.scrollLeft + x * box.clientWidth, box.scrollTop + y * box.clientHeight];
  svg.setAttribute("width", size.width * factor);
  svg.setAttribute("height", size.height * factor);
  const grown = before ? (size.width * factor) / before : 1;
  if (Math.abs(grown - 1) < 0.001) return;
  box.scrollLeft = left * grown - x * box.clientWidth; // what was under the pointer stays there
  box.scrollTop = top * grown - y * box.clientHeight;
}

function zoom(by, x, y) {
  const box = frame();
  const svg = box?.querySelector("svg");
  if (!svg) return;
  scale = Math.min(LARGEST, Math.max(SMALLEST, (scale || fitting(box, svg.viewBox.baseVal)) * by));
  draw(x, y);
}

document.addEventListener("click", (event) => {
  if (moved && event.target.closest("[data-graph]")) event.preventDefault();
  moved = null;
  const how = event.target.closest?.("[data-zoom]")?.dataset.zoom;
  if (how === "fit") {
    scale = 0;
    draw();
  } else if (how) zoom(how === "in" ? STEP : 1 / STEP);
});
document.addEventListener(
  "wheel",
  (event) => {
    const box = event.target.closest?.(".frame-of-graph");
    if (!box || !event.ctrlKey) return; // without a key the page scrolls, as everywhere
    event.preventDefault();
    const edge = box.getBoundingClientRect();
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, (event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height);
  },
  { passive: false },
);
document.addEventListener("pointerdown", (event) => {
  const box = event.target.closest?.(".frame-of-graph");
  moved = null;
  if (!box || event.button !== 0 || event.pointerType === "touch") return; // fingers scroll by themselves
  const from = { x: event.clientX + box.scrollLeft, y: event.clientY + box.scrollTop, left: event.clientX, top: event.clientY };
  const move = (now) => {
    if (Math.hypot(now.clientX - from.left, now.clientY - from.top) < STILL_PX && !moved) return;
    moved = box;
    box.scrollLeft = from.x - now.clientX;
    box.scrollTop = from.y - now.clientY;
  };
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", () => document.removeEventListener("pointermove", move), { once: true });
});
document.addEventListener("dragstart", (event) => event.target.closest?.("[data-graph]") && event.preventDefault());
document.addEventListener("umbel:shown", () => draw());
window.addEventListener("resize", () => !scale && draw());
draw();
