// What pages need everywhere: actions that carry our header, dialogs, copying, notices, picked rows.
const NOTICE_MS = 8000;

document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["Umbel-Request"] = "1";
});

// A new version of a region keeps what the reader opened, picked or is typing.
window.htmx?.registerExtension("umbel", {
  htmx_before_morph_attr: (element, detail) => {
    if (detail.attrName === "open") return false;
    return !(element.closest?.("dialog[open]") && ["disabled", "value"].includes(detail.attrName));
  },
});

// --- dialogs
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) return document.getElementById(opener.dataset.opens)?.showModal();
  const dialog = event.target.closest("dialog");
  if (event.target.closest("[data-closes]") || event.target === dialog) dialog?.close();
});
document.addEventListener("input", (event) => {
  const wanted = event.target.dataset?.mustType;
  if (wanted === undefined) return;
  event.target.form.querySelector("[type=submit]").disabled = event.target.value !== wanted;
});
document.addEventListener("umbel:done", (event) => event.target.closest?.("dialog")?.close());
document.addEventListener("htmx:finally:request", (event) => event.target.closest?.("dialog[open]")?.close());

// --- copying: without the clipboard API, which plain HTTP has not, through a selection
async function copied(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
  }
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  const done = await copied(button.dataset.copy).catch(() => false);
  button.focus();
  button.classList.add(done ? "ok" : "bad");
  setTimeout(() => button.classList.remove("ok", "bad"), 1200);
});

// --- notices go by themselves, problems stay
const notices = document.getElementById("notices");
new MutationObserver(() => {
  for (const each of notices.querySelectorAll(".notice:not([data-timed])")) {
    each.dataset.timed = "";
    if (!each.matches(".problem")) setTimeout(() => each.remove(), NOTICE_MS);
  }
}).observe(notices, { childList: true, subtree: true });
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".notice").remove();
});

// --- picked rows: a box in each row, shift for all between, the bar with what can be done to them
let lastPicked = null;
const boxes = () => [...document.querySelectorAll("input.pick")];
function counted() {
  const all = boxes();
  const picked = all.filter((box) => box.checked).length;
  const bar = document.querySelector("[data-picked]");
  if (bar) {
    bar.hidden = picked === 0;
    bar.querySelector("[data-picked-count]").textContent = picked;
  }
  const head = document.querySelector("[data-picks]");
  if (head) {
    head.checked = picked > 0 && picked === all.length;
    head.indeterminate = picked > 0 && picked < all.length;
  }
}
document.addEventListener("click", (event) => {
  const box = event.target;
  if (box.matches?.("[data-picks]")) {
    for (const each of boxes()) each.checked = box.checked;
    counted();
  } else if (box.matches?.("input.pick")) {
    const all = boxes();
    const [from, to] = [all.indexOf(lastPicked), all.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) for (const each of all.slice(from, to + 1)) each.checked = box.checked;
    lastPicked = box;
    counted();
  }
});
document.addEventListener("umbel:shown", counted);
document.addEventListener("umbel:picked", counted);
document.addEventListener("umbel:done", (event) => {
  if (!event.target.closest?.("[data-picked], [data-clears]")) return;
  for (const each of boxes()) each.checked = false;
  counted();
});
counted();

// --- a menu closes when the reader goes elsewhere
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// --- how long ago, in the words of `age` in wording.py, kept right while the page stands
function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
setInterval(() => {
  if (document.hidden) return;
  for (const each of document.querySelectorAll("time[data-ago]")) {
    const text = age((Date.now() - Date.parse(each.dateTime)) / 1000);
    if (each.textContent !== text) each.textContent = text;
  }
}, 1000);

document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- moments in the time zone of whoever reads, where the page has another
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
function localized() {
  for (const each of document.querySelectorAll("time[data-here]")) {
    if (each.dataset.here === zone) continue;
    const told = new Date(each.dateTime).toLocaleString("sv-SE", { timeZone: zone, timeZoneName: "short" });
    each.textContent = `, ${told} here`;
  }
}
document.addEventListener("umbel:shown", localized);
localized();
