// One stream of the page, as the page needs it: what changed, and how much of it can be trusted at this moment.
import { View } from "./uiupdate.js";

// follow reads a view. changed is called with a Map of what is new, null for what is gone, and with whole = true when
// that is everything there is. moved is called when the state changes:
//
//   connecting    nothing has come so far
//   live          what is shown is what the server has
//   late          the stream lives, and what feeds it is silent: asOf says since when
//   reconnecting  the stream is down: heard says since when
//   paused        nobody looks at the page: its connection is left to others, of which a browser has six for a host
export function follow(url, { changed, moved, maxAge }) {
  const stream = {
    view: null,
    state: "connecting",
    heard: 0, // when the stream was last alive, by this machine's clock
    missed: false, // the last reconnect could not be a resume: all was loaded anew
    resumes: 0,
  };
  let anew = false;
  function became(state) {
    const was = stream.state;
    switch (state) {
      case "loading":
        anew = stream.heard > 0;
        return; // what is shown stays until everything is there
      case "live":
      case "stale":
        stream.state = state === "live" ? "live" : "late";
        stream.heard = Date.now();
        if (was === "reconnecting") {
          stream.missed = anew;
          stream.resumes++;
        }
        anew = false;
        break;
      case "closed":
        stream.state = "paused";
        break;
      default:
        if (stream.heard > 0) stream.state = "reconnecting";
    }
    moved();
  }
  function open() {
    stream.state = "connecting";
    stream.view = new View(url, { maxAge });
    stream.view.onchange = changed;
    stream.view.onstate = became;
  }
  open();
  let leaving = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(() => stream.view.close(), 30000);
    else if (stream.state === "paused") open();
  });
  setInterval(() => { if (stream.state === "live" || stream.state === "late") stream.heard = Date.now(); }, 500);
  return stream;
}
