// The browser's side of a view: it keeps the rows in a Map, goes on where it
// was after a disconnect, and says how old what it has may be.
//
//   const view = new View(url, { maxAge: 60000 });
//   view.rows                 Map of key -> { value, asOf }; keys are strings, asOf is a Date
//   view.onchange = (changed, whole) => {}
//                             changed is a Map of key -> row, or null for a row that is gone;
//                             whole says that all rows were replaced, and changed has them all
//   view.state                "connecting", "loading", "live", "stale" or "closed"
//   view.onstate = (state) => {}
//   view.asOf                 Date up to which the view is complete, or null if its feed never said
//   view.age()                milliseconds since asOf by the server's clock; Infinity without one
//   view.close()
//
// While a view is loaded anew the rows of before stay, so that a screen does
// not blink; they are replaced when all are there. The state is "stale" when
// the connection lives and asOf is older than maxAge (milliseconds; none by
// default): the feed behind the view is quiet or broken.

const quiet = 2.5; // heartbeats that may be missed before the connection counts as dead

export class View {
  #url; #maxAge; #credentials; #source = null; #timer = null; #watch = null; #tries = 0;
  #id = ""; #next = null; #skew = 0; #beat = 15000; #heard = 0; #live = false; #closed = false;

  constructor(url, options = {}) {
    this.#url = new URL(url, document.baseURI);
    this.#maxAge = options.maxAge ?? Infinity;
    this.#credentials = options.withCredentials ?? false;
    this.rows = new Map();
    this.state = "connecting";
    this.asOf = null;
    this.onchange = () => {};
    this.onstate = () => {};
    this.#watch = setInterval(() => this.#check(), 1000);
    this.#connect();
  }

  age() {
    return this.asOf === null ? Infinity : Math.max(0, Date.now() + this.#skew - this.asOf.getTime());
  }

  close() {
    this.#closed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#say("closed");
  }

  #connect() {
    const url = new URL(this.#url);
    if (this.#id) url.searchParams.set("after", this.#id);
    this.#heard = Date.now();
    const source = new EventSource(url, { withCredentials: this.#credentials });
    this.#source = source;
    const on = (name, apply) => source.addEventListener(name, (event) => {
      if (source !== this.#source) return;
      this.#heard = Date.now();
      this.#tries = 0;
      apply(JSON.parse(event.data));
      if (event.lastEventId) this.#id = event.lastEventId; // once it is applied, and not before
    });
    on("reset", () => { this.#next = new Map(); this.#live = false; this.#say("loading"); });
    on("snapshot", (data) => this.#apply(data.rows));
    on("delta", (data) => this.#apply(data.rows));
    on("live", (data) => this.#settle(data));
    source.addEventListener("open", () => { this.#heard = Date.now(); });
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      this.#live = false;
      this.#say("connecting");
      // After any answer but 200 a browser gives up for good.
      if (source.readyState === EventSource.CLOSED) this.#again();
    });
  }

  #again() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    const wait = Math.min(30000, 1000 * 2 ** this.#tries++);
    this.#timer = setTimeout(() => this.#connect(), wait * (0.5 + Math.random()));
  }

  #apply(list) {
    const changed = new Map();
    const rows = this.#next ?? this.rows;
    for (const { key, value, asOf, deleted } of list) {
      const row = deleted ? null : { value, asOf: new Date(asOf) };
      if (row) rows.set(key, row); else rows.delete(key);
      changed.set(key, row);
    }
    if (!this.#next) this.onchange(changed, false);
  }

  #settle(data) {
    this.#skew = Date.parse(data.now) - Date.now();
    this.#beat = data.heartbeatMs ?? this.#beat;
    this.asOf = data.asOf ? new Date(data.asOf) : null;
    if (this.#next) {
      this.rows = this.#next;
      this.#next = null;
      this.onchange(new Map(this.rows), true);
    }
    this.#live = true;
    this.#check();
  }

  #check() {
    if (this.#closed) return;
    if (this.#source && Date.now() - this.#heard > quiet * this.#beat) {
      this.#live = false;
      this.#say("connecting");
      this.#again();
    }
    if (this.#live) this.#say(this.age() > this.#maxAge && this.#maxAge !== Infinity ? "stale" : "live");
  }

  #say(state) {
    if (state === this.state) return;
    this.state = state;
    this.onstate(state);
  }
}
