// Live: the server says which topics have changed (GET /live); the region #live of a page that is about one of them is
// then asked for anew and morphed, so that focus, picked rows, what is open and where the reader is stay as they are.
const POLL_MS = 5000;
const STREAM_AGAIN_MS = 60000;
const LEAST_MS = 250;

const region = document.getElementById("live");
const signal = document.getElementById("signal");
const button = document.getElementById("pause");
const topics = region?.dataset.topics ?? "";
const WORDS = { live: "live", polling: "every 5 s", lost: "no answer", paused: "paused", off: "not live" };

let stream = null;
let seen = region?.dataset.seen ?? "0";
let poll = 0;
let paused = false;
let running = false;
let again = false;

function show(state) {
  signal.dataset.signal = state;
  signal.firstElementChild.textContent = WORDS[state];
}

// With the region comes what stands above it: how the page is called now, and what is to be known of the history.
function retitle() {
  const told = document.getElementById("told");
  if (!told) return;
  const [title, ...notes] = told.children;
  const head = document.querySelector(".head h1");
  if (head.textContent !== title.textContent) {
    head.textContent = title.textContent;
    document.title = `${title.textContent} · Umbel`;
  }
  const banners = document.getElementById("banners");
  const words = (those) => Array.from(those, (each) => each.textContent).join("\n");
  if (words(banners.children) !== words(notes)) banners.replaceChildren(...notes);
  told.remove();
}

async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    // A list that is full says where it is found as it is now, so that new rows push none out.
    const address = region.querySelector("[data-address]")?.dataset.address ?? location.pathname + location.search;
    await window.htmx.ajax("GET", address, { target: "#live", swap: "innerMorph" });
    retitle();
    document.dispatchEvent(new CustomEvent("umbel:shown"));
  } finally {
    setTimeout(() => {
      running = false;
      if (again) refresh();
      again = false;
    }, LEAST_MS);
  }
}

// What went wrong is no new version of the region: it stays as it was, and the signal tells.
document.addEventListener("htmx:before:response", (event) => {
  const { target, response } = event.detail.ctx;
  if (target !== region) return;
  if (response.status >= 400) event.preventDefault();
  if (response.status === 401) location.reload(); // the session is over: the form to log in comes up
  else if (response.status >= 400) show("lost");
  else if (stream?.readyState === EventSource.OPEN) show("live");
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx?.target === region) show("lost");
});

function startPolling() {
  clearInterval(poll);
  show("polling");
  poll = setInterval(refresh, POLL_MS);
  setTimeout(() => poll && open(), STREAM_AGAIN_MS);
}

function close() {
  stream?.close();
  stream = null;
  clearInterval(poll);
  poll = 0;
}

function open() {
  close();
  if (!topics || paused || document.hidden) return;
  const query = new URLSearchParams({ topics, since: seen });
  stream = new EventSource(`${document.body.dataset.live}?${query}`);
  stream.onopen = () => show("live");
  stream.onmessage = (event) => {
    seen = event.lastEventId || seen;
    refresh();
  };
  stream.onerror = () => {
    // The browser tries again by itself, unless it was refused: too many streams, or no right any more.
    if (stream?.readyState === EventSource.CLOSED) startPolling();
    else if (stream) show("lost");
  };
}

function pause() {
  paused = !paused;
  button.setAttribute("aria-pressed", paused);
  button.title = paused ? "Go on (p)" : "Pause (p)";
  button.setAttribute("aria-label", paused ? "Go on showing what is live" : "Pause what is shown live");
  const use = button.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, paused ? "#play" : "#pause"));
  if (paused) {
    close();
    show("paused");
  } else {
    refresh();
    open();
  }
}

if (topics) {
  button.addEventListener("click", pause);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!paused) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  document.addEventListener("umbel:done", () => setTimeout(refresh));
  open();
} else {
  button.hidden = signal.hidden = true;
}
