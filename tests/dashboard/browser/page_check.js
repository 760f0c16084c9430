// What can be asked of a page while it is open: each entry of the answer is one thing that is wrong.
async () => {
  const wrong = [];
  const named = (element) => {
    const name = element.id ? `#${element.id}` : [...element.classList].map((word) => `.${word}`).join("");
    return `<${element.localName}${name}> ${(element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40)}`;
  };
  const shown = (element) => element.checkVisibility({ checkVisibilityCSS: true });
  const root = document.documentElement;

  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll("*")]
      .filter((one) => shown(one) && one.getBoundingClientRect().right > root.clientWidth + 1)
      .filter((one) => !one.parentElement.closest(".scroll, .table-scroll, pre"));
    wrong.push(`it scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}: ${wide.slice(0, 3).map(named).join("; ")}`);
  }
  for (const box of document.querySelectorAll(".scroll:has(> .cards)")) {
    if (innerWidth <= 560 && box.scrollWidth > box.clientWidth) wrong.push(`${named(box)} scrolls sideways on a phone`);
  }
  if (!document.title.trim()) wrong.push("it has no title");
  if (!root.lang) wrong.push("it has no language");
  const headings = [...document.querySelectorAll("h1")].filter(shown);
  if (headings.length !== 1) wrong.push(`it has ${headings.length} main headings`);
  if (document.querySelector("[style], style, script:not([src])")) wrong.push("it has a style or script of its own");
  for (const one of document.querySelectorAll("*")) {
    if ([...one.attributes].some((each) => each.name.startsWith("on"))) wrong.push(`a script in ${named(one)}`);
  }

  // all that takes a click takes the keyboard
  const means = "a[href], button, input, select, textarea, summary, [tabindex], label, [role=button], option, svg [tabindex]";
  for (const one of document.body.querySelectorAll("*")) {
    if (!shown(one)) continue;
    if (one.tabIndex > 0) wrong.push(`${named(one)} jumps the queue of the Tab key`);
    if (one.matches("a[href], button, input:not([type=hidden]), select, textarea, summary")) {
      if (one.tabIndex < 0 && !one.disabled) wrong.push(`${named(one)} cannot be reached by the keyboard`);
    } else if (getComputedStyle(one).cursor === "pointer" && !one.closest(means)) {
      wrong.push(`${named(one)} looks as if it took a click, and the keyboard cannot reach it`);
    }
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const moving = document.getAnimations().filter((one) => one.effect.getComputedTiming().activeDuration > 1);
    if (moving.length) wrong.push(`${moving.length} things move`);
  }
  for (const picture of document.querySelectorAll("main svg")) {
    if (picture.closest("[aria-hidden=true]") || picture.closest("a, button")?.textContent.trim()) continue;
    const title = picture.querySelector("title")?.textContent || picture.getAttribute("aria-label") ||
      picture.getAttribute("aria-labelledby");
    if (!title) wrong.push(`a picture without a name: ${named(picture.parentElement)}`);
  }
  return wrong;
}
