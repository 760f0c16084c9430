// What pages gain by a script: snippets are copied by a click, and parts marked as live are shown as they change.
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

// A part with data-live="ADDRESS" shows what that address answers, sent whenever it has changed; [data-pause] is the
// button that holds it still.
class LivePart {
  constructor(element) {
    this.element = element;
    this.news = null;  // what has come and is not shown yet
    this.isPaused = false;
    this.source = null;
    element.addEventListener("focusout", () => setTimeout(() => this.show()));
    const button = document.querySelector("[data-pause]");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => {
        this.isPaused = !this.isPaused;
        button.setAttribute("aria-pressed", String(this.isPaused));
        button.textContent = this.isPaused ? "Go on" : "Pause";
        this.show();
      });
    }
  }

  show() {
    // what somebody is about to follow with the keyboard must not vanish
    if (this.news === null || this.isPaused || this.element.contains(document.activeElement)) return;
    this.element.innerHTML = this.news;
    this.news = null;
  }

  follow() {
    if (this.source || document.hidden) return;
    this.source = new EventSource(`/dashboard/events?part=${encodeURIComponent(this.element.dataset.live)}`);
    this.source.addEventListener("part", (event) => { this.news = event.data; this.show(); });
    this.source.addEventListener("bye", () => { this.leave(); setTimeout(() => this.follow(), 3000); });
  }

  leave() {
    if (this.source) this.source.close();
    this.source = null;
  }
}

addCopyButtons(document);
for (const element of document.querySelectorAll("[data-live]")) {
  const part = new LivePart(element);
  document.addEventListener("visibilitychange", () => (document.hidden ? part.leave() : part.follow()));
  addEventListener("pagehide", () => part.leave());
  part.follow();
}
