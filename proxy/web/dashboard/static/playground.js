// Asks the chosen models at once and shows their answers as they come; without this script the form waits for all.
"use strict";

const form = document.getElementById("playground");
const answers = document.getElementById("answers");
const vote = document.getElementById("vote");

function add(parent, tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

// Reads server-sent events of a chat: the text as it comes, usage at its end.
async function read(answer, onText) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let usage = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return usage;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line.startsWith("data: [DONE]")) continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices && event.choices[0] && event.choices[0].delta;
      if (delta && delta.content) onText(delta.content);
      if (event.usage) usage = event.usage;
    }
  }
}

async function ask(model, key, fields) {
  const card = add(answers, "section", "card answer", "");
  add(card, "h2", "", model);
  const text = add(card, "p", "answer-text", "");
  const note = add(card, "p", "soft", "asking");
  const began = performance.now();
  let first = null;
  try {
    const body = new URLSearchParams({ ...fields, model, form_key: key });
    const answer = await fetch(form.dataset.stream, { method: "POST", body, redirect: "error" });
    if (!answer.ok) {
      const error = await answer.json().catch(() => ({ error: { message: `Status ${answer.status}. Load the page again.` } }));
      throw new Error(error.error.message);
    }
    const usage = await read(answer, (piece) => {
      if (first === null) first = performance.now() - began;
      text.textContent += piece;
    });
    const parts = [`${((performance.now() - began) / 1000).toFixed(1)} s`];
    if (first !== null) parts.push(`first token after ${Math.round(first)} ms`);
    if (usage) parts.push(`${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`);
    if (usage && usage.cost !== undefined) parts.push(`$${usage.cost.toFixed(12).replace(/0+$/, "").replace(/\.$/, "")}`);
    note.textContent = parts.join(", ");
    const id = answer.headers.get("x-request-id");
    if (id && form.dataset.requests) {
      note.append(" ");
      const link = add(note, "a", "", id);
      link.href = form.dataset.requests + id;
    }
    return model;
  } catch (error) {
    note.textContent = "";
    add(card, "p", "problem", error.message);
    return null;
  }
}

function offerVote(models) {
  const buttons = document.getElementById("votes");
  if (!vote || models.length < 2) return;
  buttons.textContent = "";
  for (const model of models) {
    const shown = add(buttons, "input", "", "");
    shown.type = "hidden";
    shown.name = "shown";
    shown.value = model;
    const button = add(buttons, "button", "quiet", model);
    button.name = "winner";
    button.value = model;
  }
  vote.hidden = false;
}

// Writes what was asked into the programs below, which the page made for the model MODEL and the prompt Hello!
const programs = [...document.querySelectorAll("section[aria-labelledby=code] pre")].map((pre) => [pre, pre.textContent]);
function showCode(model, prompt) {
  for (const [pre, made] of programs) {
    const quoted = (text) => made.startsWith("curl") ? JSON.stringify(text).replaceAll("'", `'"'"'`) : JSON.stringify(text);
    pre.textContent = made.replace('"MODEL"', () => quoted(model)).replace('"Hello!"', () => quoted(prompt));
  }
}

if (form) {
  const keys = form.dataset.keys.split(" ");
  form.addEventListener("submit", async (event) => {
    const data = new FormData(form);
    const models = [...new Set(["model1", "model2", "model3", "model4"].map((slot) => data.get(slot).trim()).filter(Boolean))];
    if (!models.length || keys.length < models.length) return;  // the page says what is missing; or the keys of this page are spent: the form goes the long way
    event.preventDefault();
    answers.textContent = "";
    showCode(models[0], data.get("prompt"));
    if (vote) vote.hidden = true;
    const fields = { prompt: data.get("prompt"), system: data.get("system"), max_tokens: data.get("max_tokens") };
    if (data.get("user")) fields.user = data.get("user");
    const button = form.querySelector("button");
    button.disabled = true;
    const done = await Promise.all(models.map((model) => ask(model, keys.shift(), fields)));
    button.disabled = false;
    offerVote(done.filter((model) => model !== null));
  });
}
