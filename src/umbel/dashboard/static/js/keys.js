// Keys. They can be switched off in their dialog, and do nothing while somebody types.
const OFF = "umbel-keys-off";
const PAUSE_MS = 1200;
const dialog = document.getElementById("keys");
const box = document.getElementById("keys-on");
let going = 0;

const stored = {
  get: () => {
    try {
      return localStorage.getItem(OFF) === "1";
    } catch {
      return false;
    }
  },
  set: (off) => {
    try {
      localStorage.setItem(OFF, off ? "1" : "");
    } catch {
      // a browser that keeps nothing: the choice ends with the page
    }
  },
};
box.checked = !stored.get();
box.addEventListener("change", () => stored.set(!box.checked));

const rows = () => [...document.querySelectorAll("#live tr[data-row]")];
const row = () => document.activeElement?.closest?.("tr[data-row]");
function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(row());
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1);
  all[next].focus();
  all[next].scrollIntoView({ block: "nearest" });
}
// The button for a right: of the row that has the focus, else of the picked rows, else the only one of the page.
function press(right) {
  const scope = row() ?? document.querySelector("[data-picked]:not([hidden])") ?? document.querySelector("#live");
  const buttons = [...(scope?.querySelectorAll(`button[data-does="${right}"]:not(:disabled)`) ?? [])];
  if (buttons.length && (scope.id !== "live" || !rows().length)) buttons[0].click();
}
function pick() {
  const one = row()?.querySelector("input.pick");
  if (!one) return;
  one.checked = !one.checked;
  document.dispatchEvent(new CustomEvent("umbel:picked"));
}
const open = () => {
  const address = row()?.dataset.href;
  if (address) location.href = address;
};

const KEYS = {
  "?": () => dialog.showModal(),
  "/": () => document.getElementById("filter")?.select(),
  j: () => move(1),
  k: () => move(-1),
  x: pick,
  r: () => press("jobs.retry"),
  c: () => press("jobs.cancel"),
  p: () => document.getElementById("pause").click(),
  t: () => document.getElementById("theme").click(),
};

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!box.checked && key !== "?") return;
  if (target.matches?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]")) return;
  if (document.querySelector("dialog[open]")) return;
  if (key === "Enter") return target.matches?.("tr[data-row]") ? open() : undefined;
  if (Date.now() - going < PAUSE_MS) {
    going = 0;
    const place = [...document.querySelectorAll("[data-goes]")].find((each) => each.textContent === key);
    if (place) {
      event.preventDefault();
      location.href = place.dataset.goes;
      return;
    }
  }
  if (key === "g") {
    going = Date.now();
  } else if (Object.hasOwn(KEYS, key)) {
    event.preventDefault();
    KEYS[key]();
  }
});

// A click on a row that is no click on something in it opens it, too.
document.addEventListener("click", (event) => {
  const one = event.target.closest?.("tr[data-row][data-href]");
  if (!one || event.target.closest("a, button, input, label, summary, dialog, form") || getSelection().toString()) return;
  if (event.ctrlKey || event.metaKey) open && window.open(one.dataset.href, "_blank", "noopener");
  else location.href = one.dataset.href;
});
