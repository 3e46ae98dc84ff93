// The page: two streams from the server, one for the stock and one for the board, and the buttons.
import { Board } from "./board.js";
import { follow } from "./feed.js";
import { Grid } from "./grid.js";
import { $, age, text } from "./words.js";

const stock = new Map(); // code -> {value, asOf}, as it is drawn
const grid = new Grid({ stock, reserve });
const board = new Board({ restart });

// What both the page and its tests look at.
const streams = {};
window.inventory = { stock, streams };

streams.stock = follow("/page/events/stock", {
  changed(rows, whole) {
    const before = new Map();
    for (const [sku, row] of rows) {
      before.set(sku, stock.get(sku));
      if (row) stock.set(sku, row);
      else stock.delete(sku);
    }
    for (const sku of whole ? [...stock.keys()] : []) {
      if (rows.has(sku)) continue;
      before.set(sku, stock.get(sku));
      stock.delete(sku);
    }
    grid.changed(before);
  },
  moved: connection,
  maxAge: 10000, // the feed of the stock says several times a second that it is alive
});
const shown = new Set();
streams.board = follow("/page/events/board", {
  changed(rows, whole) {
    for (const key of whole ? [...shown] : []) if (!rows.has(key)) board.changed(key, shown.delete(key) && undefined);
    for (const [key, row] of rows) {
      if (row) shown.add(key);
      else shown.delete(key);
      board.changed(key, row?.value);
    }
  },
  moved: connection,
});

// connection says how the worse of the two streams is.
let resumed = 0, down = false;
function connection() {
  const all = Object.values(streams);
  const is = (state) => all.some((s) => s.state === state);
  const state = is("reconnecting") ? "reconnecting" : is("connecting") ? "connecting"
    : is("late") ? streams.stock.view.asOf ? "late" : "loading" : "live"; // a stock without as-of was never filled
  if (state === "live" && down) resumed = Date.now();
  if (state === "live" || state === "reconnecting") down = state === "reconnecting";
  let words = { live: "Live", connecting: "Connecting", reconnecting: "Reconnecting", late: "Live, but late", loading: "Loading the catalogue" }[state];
  if (state === "live" && Date.now() - resumed < 6000) words = all.some((s) => s.missed) ? "Back, all loaded anew" : "Resumed, nothing missed";
  $("link").dataset.state = state;
  text($("link-words"), words);
  const old = state === "reconnecting" || state === "late";
  $("grid").toggleAttribute("data-stale", old);
  $("stale").hidden = !old;
  if (state === "reconnecting") {
    const since = age(Date.now() - Math.min(...all.map((s) => s.heard)));
    text($("stale"), `The stream is down. These values are what was known ${since === "now" ? "a moment" : since} ago; they may have changed.`);
  } else if (state === "late") {
    text($("stale"), `What feeds this list has been silent for ${age(streams.stock.view.age())}. These values may have changed since.`);
  }
}

setInterval(() => { grid.tick(); board.tick(); connection(); }, 250);

// act asks the server to do something, and says how it went.
async function act(what, body, button) {
  button?.setAttribute("aria-busy", "true");
  try {
    const res = await fetch(`/page/do/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const answer = await res.json();
    say(answer.words, res.status === 202 ? "caution" : res.ok ? "" : "trouble");
    return res.ok;
  } catch {
    say("The server of this page does not answer. Is the program still running?", "trouble");
    return false;
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

let quiet = 0;
function say(words, tone) {
  text($("announced"), "");
  text($("announced"), words);
  $("said").hidden = false;
  $("said").dataset.tone = tone;
  $("said-words").textContent = words;
  clearTimeout(quiet);
  quiet = setTimeout(() => { $("said").hidden = true; }, tone ? 12000 : 6000);
}
$("said-close").addEventListener("click", () => { $("said").hidden = true; });

function reserve(sku) {
  const n = Number($("quantity").value);
  if (!Number.isInteger(n) || n < 1) {
    say("Say how many to reserve: a whole number from 1 up.", "trouble");
    return $("quantity").focus();
  }
  return act("reserve", { sku, quantity: n });
}
function restart(subscriber, button) { return act("restart", { subscriber }, button); }

const pressed = (el) => el.getAttribute("aria-pressed") === "true";
$("network").addEventListener("click", (e) => act("network", { broken: !pressed(e.currentTarget) }, e.currentTarget));
$("customers").addEventListener("click", (e) => act("customers", { open: !pressed(e.currentTarget) }, e.currentTarget));
$("forecast").addEventListener("click", (e) => act("forecast", {}, e.currentTarget));
$("cancel").addEventListener("click", (e) => act("cancel", {}, e.currentTarget));

document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, select, textarea")) return;
  e.preventDefault();
  section("stock");
  $("search").focus();
  $("search").select();
});
document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault();
  section("stock");
  $("search").focus();
});

// section shows one part where there is no place for all.
function section(name) {
  document.body.dataset.section = name;
  for (const b of document.querySelectorAll(".tabs button")) {
    if (b.dataset.to === name) b.setAttribute("aria-current", "true");
    else b.removeAttribute("aria-current");
  }
}
for (const b of document.querySelectorAll(".tabs button")) b.addEventListener("click", () => section(b.dataset.to));

