// The stock: thousands of products, of which only the visible ones are in the page.
import { $, age, count, plural, text } from "./words.js";

const numeric = new Set(["free", "reserved", "reorder", "age"]);
const spare = 6; // rows that are kept ready above and below what is seen

export class Grid {
  constructor({ stock, reserve }) {
    this.stock = stock; // Map: code -> {value, asOf}
    this.reserve = reserve;
    this.lines = new Map(); // code -> element
    this.pool = [];
    this.order = [];
    this.column = "age";
    this.down = true;
    this.words = [];
    this.active = ""; // the code that has the one tab stop
    this.fresh = new Map(); // code -> which cells changed since they were drawn
    this.busy = new Set();
    this.dirty = true;
    this.scroller = $("scroller");
    this.due = false; // a drawing is due with the next frame
    this.places = new Map();
    this.measure();
    this.listen();
  }

  listen() {
    const draw = () => this.draw();
    this.scroller.addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => { this.measure(); this.draw(); }).observe(this.scroller);
    for (const head of document.querySelectorAll("[data-column]")) {
      head.firstElementChild.addEventListener("click", () => this.sortBy(head.dataset.column));
    }
    $("sort").addEventListener("change", (e) => this.sortBy(e.target.value, e.target.value === "age"));
    $("search").addEventListener("input", (e) => {
      this.words = e.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.scroller.scrollTop = 0;
      this.arrange();
    });
    $("search").addEventListener("keydown", (e) => {
      if (e.key !== "ArrowDown" && e.key !== "Enter") return;
      e.preventDefault();
      this.focus(0);
    });
    this.scroller.addEventListener("keydown", (e) => this.key(e));
    this.scroller.addEventListener("click", (e) => {
      const button = e.target.closest(".reserve");
      if (button) this.press(button.closest(".row").dataset.sku);
    });
    this.scroller.addEventListener("focusin", (e) => {
      const line = e.target.closest(".row");
      if (line) this.activate(line.dataset.sku);
    });
    for (const moment of ["pointerleave", "focusout"]) $("grid").addEventListener(moment, () => this.release());
  }

  measure() {
    this.height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")); // another on a phone
  }

  // A list that is sorted by what changes would move under the finger of whoever is about to press. It keeps its order
  // while the pointer or the focus is in it.
  held() {
    return this.scroller.matches(":hover") && matchMedia("(hover: hover)").matches || this.scroller.contains(document.activeElement);
  }

  release() {
    requestAnimationFrame(() => { if (!this.held() && this.dirty) this.arrange(); });
  }

  sortBy(column, down = this.column === column ? !this.down : numeric.has(column)) {
    this.column = column;
    this.down = down;
    $("sort").value = column;
    this.scroller.scrollTop = 0;
    this.arrange();
  }

  compare() {
    const { column, down, stock } = this;
    const sign = down ? -1 : 1;
    const of = (sku) => {
      const row = stock.get(sku);
      switch (column) {
        case "sku": return sku;
        case "age": return row.asOf;
        case "description": return row.value.description;
        default: return row.value[column] ?? -1;
      }
    };
    return (a, b) => {
      const x = of(a), y = of(b);
      return x < y ? -sign : x > y ? sign : a < b ? -1 : a > b ? 1 : 0;
    };
  }

  // arrange finds and sorts anew, and draws.
  arrange() {
    this.dirty = false;
    const found = [];
    for (const [sku, row] of this.stock) {
      if (this.words.every((w) => sku.toLowerCase().includes(w) || row.value.description.toLowerCase().includes(w))) found.push(sku);
    }
    this.order = found.sort(this.compare());
    this.places = new Map(found.map((sku, i) => [sku, i]));
    for (const head of document.querySelectorAll("[data-column]")) {
      if (head.dataset.column === this.column) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.draw();
    this.sum();
  }

  // changed takes what the stream brought: the codes, and for each the row it had.
  changed(before) {
    let structure = false;
    for (const [sku, was] of before) {
      const row = this.stock.get(sku);
      if (!row || !was) { structure = true; continue; }
      const cells = ["free", "reserved", "reorder"].filter((c) => row.value[c] !== was.value[c]);
      if (cells.length) this.fresh.set(sku, cells);
    }
    this.dirty = true;
    this.structure ||= structure;
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { // however many changes come, the page is drawn once a frame
      this.due = false;
      if (this.structure || !this.held()) this.arrange();
      else this.draw();
      this.structure = false;
      $("held").hidden = !this.dirty;
      this.sum();
    });
  }

  draw() {
    const { height } = this;
    const n = this.order.length;
    $("spacer").style.height = `${n * height}px`;
    $("grid").setAttribute("aria-rowcount", n + 1);
    text($("empty"), this.stock.size === 0 ? "Nothing is here so far. It fills as soon as the catalogue is loaded." : n === 0 ? "No product matches. Clear the search to see all." : "");
    $("empty").hidden = n > 0;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - spare);
    const last = Math.min(n, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + spare);
    const keep = new Set(this.order.slice(first, last));
    const focused = this.scroller.contains(document.activeElement) ? this.active : "";
    if (focused && this.places.has(focused)) keep.add(focused); // it scrolls out of sight, and keeps the focus
    for (const [sku, line] of this.lines) {
      if (keep.has(sku)) continue;
      this.lines.delete(sku);
      line.remove();
      this.pool.push(line);
    }
    if (!this.places.has(this.active)) this.active = this.order[0] ?? "";
    for (const sku of keep) if (this.stock.has(sku)) this.place(sku, this.places.get(sku));
  }

  place(sku, i) {
    let line = this.lines.get(sku);
    if (!line) {
      line = this.pool.pop() ?? $("line").content.firstElementChild.cloneNode(true);
      line.dataset.sku = sku;
      this.lines.set(sku, line);
      this.scroller.append(line);
      for (const cell of line.children) cell.classList.remove("flash");
    }
    line.style.transform = `translateY(${i * this.height}px)`;
    line.setAttribute("aria-rowindex", i + 2);
    this.fill(line, sku);
  }

  fill(line, sku) {
    const { value, asOf } = this.stock.get(sku);
    const [code, description, free, reserved, reorder, changed, act] = line.children;
    text(code, sku);
    text(description, value.description);
    text(free, count(value.free));
    text(reserved, count(value.reserved));
    text(reorder, value.reorder == null ? "–" : count(value.reorder));
    free.classList.toggle("out", value.free === 0);
    free.classList.toggle("low", value.free > 0 && value.reorder != null && value.free <= value.reorder);
    text(changed, age(Date.now() - asOf));
    const button = act.firstElementChild;
    const label = `Reserve ${sku}, ${value.description}, ${value.free} free`;
    if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
    button.tabIndex = sku === this.active ? 0 : -1;
    text(button, this.busy.has(sku) ? "…" : value.free === 0 ? "Out" : "Reserve");
    button.setAttribute("aria-disabled", value.free === 0 || this.busy.has(sku));
    for (const name of this.fresh.get(sku) ?? []) {
      const cell = { free, reserved, reorder }[name];
      cell.classList.remove("flash");
      void cell.offsetWidth; // so that a second change flashes again
      cell.classList.add("flash");
    }
    this.fresh.delete(sku);
  }

  // tick lets the ages grow.
  tick() {
    for (const [sku, line] of this.lines) {
      const row = this.stock.get(sku);
      if (row) text(line.children[5], age(Date.now() - row.asOf));
    }
  }

  sum() {
    if (this.stock.size === 0) return;
    let pieces = 0, out = 0, low = 0;
    for (const { value } of this.stock.values()) {
      pieces += value.free;
      if (value.free === 0) out++;
      else if (value.reorder != null && value.free <= value.reorder) low++;
    }
    const found = this.words.length ? `${count(this.order.length)} of ` : "";
    text($("sum"), `${found}${plural(this.stock.size, "product")}, ${plural(pieces, "piece")} free` +
      (low ? `, ${count(low)} to reorder` : "") + (out ? `, ${count(out)} out` : ""));
  }

  key(e) {
    const at = this.places.get(this.active);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.order.length - 1 }[e.key];
    if (to === undefined || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    if (to < 0 && e.key === "ArrowUp") $("search").focus();
    else this.focus(Math.min(this.order.length - 1, Math.max(0, to)));
  }

  // focus goes to the button of the i-th row, and scrolls no more than it must.
  focus(i) {
    const sku = this.order[i];
    if (sku === undefined) return;
    const { height } = this;
    const { scrollTop, clientHeight } = this.scroller;
    if (i * height < scrollTop) this.scroller.scrollTop = i * height;
    else if ((i + 1) * height > scrollTop + clientHeight) this.scroller.scrollTop = (i + 1) * height - clientHeight;
    this.active = sku;
    this.draw();
    this.lines.get(sku)?.querySelector(".reserve").focus({ preventScroll: true });
  }

  activate(sku) {
    if (sku === this.active) return;
    const was = this.lines.get(this.active);
    if (was) was.querySelector(".reserve").tabIndex = -1;
    this.active = sku;
    this.lines.get(sku).querySelector(".reserve").tabIndex = 0;
  }

  async press(sku) {
    if (this.busy.has(sku) || this.stock.get(sku)?.value.free === 0) return;
    this.busy.add(sku);
    this.redraw(sku);
    try {
      await this.reserve(sku);
    } finally {
      this.busy.delete(sku);
      this.redraw(sku);
    }
  }

  redraw(sku) {
    const line = this.lines.get(sku);
    if (line && this.stock.has(sku)) this.fill(line, sku);
  }
}
