// Words and shapes.

// The six patterns: what each does, in a few words, and a glyph that says it without any.
export const patterns = {
  requestreply: { does: "ask and wait", glyph: "M4 8h13m-4-4 4 4-4 4M20 16H7m4 4-4-4 4-4" },
  fireforget: { does: "hand over", glyph: "M21 3 3 10.5l6.5 2.5M21 3l-4 16.5L9.5 13M21 3 9.5 13m0 0v6.5l3.4-3.8" },
  batchsync: { does: "move in bulk", glyph: "M12 3 3.5 7 12 11l8.5-4zM3.5 12 12 16l8.5-4M3.5 17 12 21l8.5-4" },
  remoteinvoke: { does: "learn later", glyph: "M12 7v5l3 2M20.5 12a8.5 8.5 0 1 1-3-6.5M20.5 3v4h-4" },
  pubsub: { does: "tell whoever listens", glyph: "M12 12h.01M8.5 15.5a5 5 0 0 1 0-7m7 0a5 5 0 0 1 0 7M5.5 18.5a9.2 9.2 0 0 1 0-13m13 0a9.2 9.2 0 0 1 0 13" },
  uiupdate: { does: "show changes", glyph: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5" },
};

const kinds = {
  person: "M12 4a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M5 20c.6-4 3.4-6 7-6s6.4 2 7 6",
  trouble: "M12 4 2.5 20h19zM12 10v4.5M12 17.5h.01",
  mended: "M5 12.5 10 17.5 19.5 7",
  shop: "M4 9h16l-1.5 11h-13zM8.5 9a3.5 3.5 0 0 1 7 0",
};

export const glyph = (kind) => patterns[kind]?.glyph ?? kinds[kind] ?? "M12 12h.01";

const counts = new Intl.NumberFormat("en");
export const count = (n) => counts.format(n);

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

// age says how long ago something was, for a column: short, and coarser with time.
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 2) return "now";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

export const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const $ = (id) => document.getElementById(id);

// text sets an element's text, and touches the page only if it changes.
export function text(el, words) {
  if (el.textContent !== words) el.textContent = words;
}
