// Shows a page anew when the gateway says what has become of it. Without this the page is
// the same, of the moment when it was asked for.
"use strict";
(() => {
  const live = document.getElementById("live");
  const status = document.getElementById("status");
  if (!live || !live.dataset.at || !window.EventSource) {
    return;
  }
  let shown = "", waiting = null;

  // say tells the state of the connection, once: screen readers read it aloud.
  const say = (text, lost) => {
    if (status.textContent !== text) {
      status.textContent = text;
      status.className = lost ? "lost" : "";
    }
  };

  // busy is that somebody marks text here, which would be gone.
  const busy = () => {
    const s = document.getSelection();
    return s && !s.isCollapsed && live.contains(s.anchorNode);
  };

  // path finds an element again in what comes in its place.
  const path = (element) => {
    const steps = [];
    for (let e = element; e !== live; e = e.parentElement) {
      steps.unshift(Array.prototype.indexOf.call(e.parentElement.children, e));
    }
    return steps;
  };
  const at = (steps) => steps.reduce((e, i) => e && e.children[i], live);

  const show = (text) => {
    const open = [...live.querySelectorAll("details[open]")].map(path);
    const scrolled = [...live.querySelectorAll(".wide")].map((e) => [path(e), e.scrollLeft]);
    const focus = live.contains(document.activeElement) ? document.activeElement : null;
    const href = focus && focus.getAttribute("href");
    const steps = focus && path(focus);
    live.innerHTML = text;
    for (const steps of open) {
      const e = at(steps);
      if (e && e.tagName === "DETAILS") {
        e.open = true;
      }
    }
    for (const [steps, left] of scrolled) {
      const e = at(steps);
      if (e) {
        e.scrollLeft = left;
      }
    }
    if (focus) {
      const same = href && [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
      const e = same || at(steps);
      if (e && e.focus) {
        e.focus({ preventScroll: true });
      }
    }
  };

  document.addEventListener("selectionchange", () => {
    if (waiting !== null && !busy()) {
      show(waiting);
      waiting = null;
    }
  });

  const connect = () => {
    const source = new EventSource("/live" + live.dataset.at);
    source.addEventListener("open", () => say("Live", false));
    source.addEventListener("page", (e) => {
      if (e.lastEventId === shown) {
        return;
      }
      shown = e.lastEventId;
      if (busy()) {
        waiting = e.data;
      } else {
        show(e.data);
      }
    });
    source.addEventListener("error", () => {
      say("Not live: trying again", true);
      if (source.readyState === EventSource.CLOSED) { // it was refused
        setTimeout(connect, 10000);
      }
    });
    window.addEventListener("pagehide", () => source.close());
  };
  connect();
})();
