// The board: a card for each pattern, the parties, what is parked, and what happened.
import { $, clock, count, glyph, patterns, text } from "./words.js";

const order = ["requestreply", "fireforget", "batchsync", "remoteinvoke", "pubsub", "uiupdate"];
const moments = 40; // of a card's pulse
const beat = 500; // milliseconds a moment
const few = 4; // parked rows of one reason that are shown unasked

export class Board {
  constructor({ restart }) {
    this.restart = restart;
    this.cards = new Map();
    this.parties = new Map();
    this.items = new Map(); // key -> element, of subscribers and events
    this.groups = new Map(); // pattern and reason -> what is parked for it
    this.parkedIn = new Map(); // key of a parked row -> its group
    this.stale = new Set(); // groups that are to be drawn
    for (const name of order) this.cards.set(name, new Card(name));
  }

  // changed takes one row of the board; undefined says that it is gone.
  changed(key, value) {
    const [kind, ...rest] = key.split("/");
    const name = rest.join("/");
    switch (kind) {
      case "card": return void (value && this.cards.get(name)?.show(value));
      case "party": return this.party(name, value);
      case "subscriber": return this.subscriber(name, value);
      case "parked": return this.parked(key, value);
      case "event": return this.event(key, value);
      case "switch": return this.flip(name, value);
    }
  }

  // party shows one as a word or two, and what is wrong with it as a sentence.
  party(name, value) {
    const [chip, trouble] = this.parties.get(name) ?? this.parties.set(name, newParty(name)).get(name);
    const how = value?.condition;
    chip.hidden = !value;
    chip.dataset.how = how;
    const [title, ...states] = parties[name] ?? [name, "", "waiting", "away"];
    const state = states[["well", "waiting", "away"].indexOf(how)];
    text(chip.lastElementChild, state ? `${title} ${state}` : title);
    chip.title = value?.words ?? "";
    trouble.hidden = how !== "away" || !value.words;
    text(trouble.lastElementChild, value?.words ?? "");
  }

  subscriber(name, value) {
    const id = `subscriber/${name}`;
    let el = this.items.get(id);
    if (!value) {
      el?.remove();
      this.items.delete(id);
      return;
    }
    if (!el) {
      el = document.createElement("button");
      el.type = "button";
      el.className = "button";
      el.append(name, document.createElement("small"));
      el.addEventListener("click", () => this.restart(name, el));
      this.items.set(id, el);
      $("subscribers").append(el);
      $("restart-label").hidden = false;
    }
    el.dataset.how = value.condition;
    text(el.lastElementChild, value.words);
    el.setAttribute("aria-label", `Restart the subscriber ${name}, now: ${value.words}`);
  }

  // parked groups what waits for the same reason: it is said once, with all it holds for.
  parked(key, value) {
    const was = this.parkedIn.get(key);
    const group = value ? `${value.pattern}\n${value.why}` : "";
    if (was && was !== group) {
      this.groups.get(was).whats.delete(key);
      this.parkedIn.delete(key);
      this.later(was);
    }
    if (!value) return;
    if (!this.groups.has(group)) {
      const el = $("parking").content.firstElementChild.cloneNode(true);
      el.querySelector(".why").textContent = value.why;
      el.querySelector("path").setAttribute("d", glyph(value.pattern));
      $("parked").prepend(el);
      this.groups.set(group, { el, whats: new Map() });
    }
    this.groups.get(group).whats.set(key, value.what);
    this.parkedIn.set(key, group);
    this.later(group);
  }

  // later draws a group with the next frame: there may be hundreds of rows in one.
  later(group) {
    if (this.stale.size === 0) requestAnimationFrame(() => {
      for (const name of this.stale) this.drawGroup(name);
      this.stale.clear();
      text($("parked-count"), count(this.parkedIn.size));
      $("parked-count").classList.toggle("some", this.parkedIn.size > 0);
      $("parked-none").hidden = this.parkedIn.size > 0;
    });
    this.stale.add(group);
  }

  drawGroup(name) {
    const { el, whats } = this.groups.get(name);
    if (whats.size === 0) {
      el.remove();
      this.groups.delete(name);
      return;
    }
    const all = [...whats.values()];
    text(el.querySelector("b"), all.slice(0, few).join(" · "));
    el.querySelector("details").hidden = all.length <= few;
    text(el.querySelector("summary"), `and ${count(all.length - few)} more`);
    text(el.querySelector("details p"), all.slice(few).join(" · "));
  }

  event(key, value) {
    if (!value) {
      this.items.get(key)?.remove();
      this.items.delete(key);
      return;
    }
    const known = this.items.get(key);
    if (known) return fillEvent(known, value);
    const el = document.createElement("li");
    el.dataset.kind = value.kind;
    el.dataset.n = value.n;
    el.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path/></svg><p></p><time></time>';
    el.querySelector("path").setAttribute("d", glyph(value.kind));
    fillEvent(el, value);
    this.items.set(key, el);
    let before = $("log").firstElementChild; // newest first, whatever the order in which they come
    while (before && Number(before.dataset.n) > value.n) before = before.nextElementSibling;
    $("log").insertBefore(el, before);
    $("log-none").hidden = true;
  }

  // flip shows a switch as the server has it, whoever pressed it.
  flip(name, value) {
    const button = $(name);
    if (!button || !value) return;
    if (name === "forecast") {
      $("forecasting").hidden = false;
      button.disabled = value.on;
      $("cancel").disabled = !value.on;
      text(button, value.words);
      return;
    }
    button.setAttribute("aria-pressed", value.on);
    text(button, value.words);
  }

  tick() {
    for (const card of this.cards.values()) card.tick();
    const job = this.cards.get("remoteinvoke").last;
    $("bar").hidden = !(job?.of > 0);
    if ($("bar").hidden) return;
    const part = Math.min(1, job.progress / job.of);
    $("bar").firstElementChild.style.transform = `scaleX(${part})`;
    $("bar").setAttribute("aria-valuenow", Math.round(part * 100));
  }
}

function fillEvent(el, { words, times, at }) {
  text(el.querySelector("p"), times > 1 ? `${words} (${count(times)} times)` : words);
  text(el.querySelector("time"), clock(new Date(at)));
  el.querySelector("time").dateTime = at;
}

// How the parties are called, and what they are when they are well, on their way, and away.
const parties = {
  network: ["Network", "lossy", "recovering", "broken"],
  receiver: ["Receiver", "", "catching up", "away"],
  org: ["Salesforce org", "", "catching up", "away"],
};

function newParty(name) {
  const chip = document.createElement("li");
  chip.className = "party";
  chip.innerHTML = '<span class="dot" aria-hidden="true"></span><span></span>';
  chip.style.order = Object.keys(parties).indexOf(name);
  $("parties").append(chip);
  const trouble = document.createElement("li");
  trouble.hidden = true;
  trouble.dataset.name = name;
  trouble.innerHTML = "<b></b> <span></span>";
  trouble.firstElementChild.textContent = `${parties[name]?.[0] ?? name}:`;
  $("troubles").append(trouble);
  return [chip, trouble];
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

class Card {
  constructor(name) {
    const el = $("card").content.firstElementChild.cloneNode(true);
    el.id = `card-${name}`;
    el.querySelector(".glyph path").setAttribute("d", patterns[name].glyph);
    const does = document.createElement("small");
    does.textContent = patterns[name].does;
    el.querySelector("h3").append(name, does);
    this.el = el;
    this.line = el.querySelector(".pulse path");
    this.pulse = new Array(moments).fill(0);
    this.beats = 0;
    this.began = performance.now();
    $("track").append(el);
  }

  show(card) {
    const moved = this.last ? card.done + card.unchanged + card.failed - this.last.done - this.last.unchanged - this.last.failed : 0;
    if (moved > 0) this.beats += moved;
    this.last = card;
    text(this.el.querySelector(".now"), card.now || "Nothing to do yet.");
    this.el.querySelector(".now").title = card.now; // there may be no room for all of it
    const figures = this.el.querySelector(".figures");
    const parts = [["in", card.in, ""], ["done", card.done, ""], ["same", card.unchanged, ""], ["failed", card.failed, "bad"], ["parked", card.parked, "held"], ["waiting", card.waiting, ""]];
    figures.replaceChildren(...parts.map(([word, n, tone]) => {
      const el = document.createElement("span");
      el.className = n === 0 ? "zero" : tone;
      const b = document.createElement("b");
      b.textContent = n < 100000 ? count(n) : compact.format(n);
      el.title = `${count(n)} ${word === "same" ? "unchanged" : word}`;
      el.append(b, word);
      return el;
    }));
    const bar = this.el.querySelector(".bar");
    bar.hidden = !(card.of > 0);
    if (card.of > 0) bar.firstElementChild.style.transform = `scaleX(${Math.min(1, card.progress / card.of)})`;
  }

  // tick moves the pulse on: how much was settled in each of the last moments.
  tick() {
    const now = performance.now();
    if (now - this.began < beat) return;
    this.began = now;
    this.pulse.push(this.beats);
    this.pulse.shift();
    this.beats = 0;
    const top = Math.max(4, ...this.pulse);
    const step = 120 / (moments - 1);
    const d = this.pulse.map((n, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${(19 - 18 * Math.sqrt(n / top)).toFixed(1)}`).join("");
    this.line.setAttribute("d", this.pulse.some(Boolean) ? d : "");
  }
}
