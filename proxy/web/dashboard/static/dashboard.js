// What pages gain by a script: snippets are copied by a click, and parts marked as live are read again at each tick.
"use strict";

function addCopyButtons(root) {
  for (const box of root.querySelectorAll(".snippet")) {
    if (box.querySelector("button")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const text = box.querySelector("pre").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {  // a page over plain HTTP elsewhere than on this machine may not use the clipboard
        getSelection().selectAllChildren(box.querySelector("pre"));
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }
}

// A part with data-live="ADDRESS" shows what that address answers; [data-pause] is the button that holds it still.
class LivePart {
  constructor(element) {
    this.element = element;
    this.etag = null;
    this.isReading = false;
    this.isPaused = false;
    const button = document.querySelector("[data-pause]");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => {
        this.isPaused = !this.isPaused;
        button.setAttribute("aria-pressed", String(this.isPaused));
        button.textContent = this.isPaused ? "Go on" : "Pause";
        if (!this.isPaused) this.read();
      });
    }
  }

  async read() {
    // what somebody is about to follow with the keyboard must not vanish
    if (this.isReading || this.isPaused || this.element.contains(document.activeElement)) return;
    this.isReading = true;
    try {
      const headers = this.etag ? { "If-None-Match": this.etag } : {};
      const answer = await fetch(this.element.dataset.live, { headers, redirect: "error", cache: "no-store" });
      if (answer.status === 200) {
        this.etag = answer.headers.get("ETag");
        this.element.innerHTML = await answer.text();
      }
    } catch { /* the proxy is gone for now; the next tick tries again */ }
    this.isReading = false;
  }
}

function follow(parts) {
  let source = null;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource("/dashboard/events");
    source.addEventListener("tick", () => { for (const part of parts) part.read(); });
    source.addEventListener("bye", () => { source.close(); source = null; setTimeout(open, 3000); });
  };
  const close = () => { if (source) { source.close(); source = null; } };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  open();
}

addCopyButtons(document);
const live = [...document.querySelectorAll("[data-live]")].map((element) => new LivePart(element));
if (live.length > 0) follow(live);
