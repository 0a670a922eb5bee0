// The page: a form that asks the service, and the canvas and the answer that it gives.

import { Canvas } from "./canvas.js";
import { asCurl, asPython, constraint, headers, refusal, stream } from "./request.js";

const at = id => document.getElementById(id);
const NAMES = { json: "JSON Schema", regex: "Regular expression", choice: "Allowed answers, one a line" };
const data = await (await fetch("page.json")).json();
const canvas = new Canvas(data.kinds);
let model = null, running = null;

const kind = () => document.querySelector("[name=kind]:checked").value;

function body() {
  const given = { model, messages: [{ role: "user", content: at("text").value }], ...constraint(kind(), at("source").value) };
  if (at("seed").value !== "") given.seed = Number(at("seed").value);
  if (at("max-tokens").value !== "") given.max_tokens = Number(at("max-tokens").value);
  if (Number(at("think").value) > 0) given.structdiff = { think: Number(at("think").value) };
  return given;
}

async function findModel() {
  if (model !== null) return;
  const answer = await fetch("v1/models", { headers: headers(at("key").value) });
  if (!answer.ok) throw new Error(await refusal(answer));
  model = (await answer.json()).data[0].id;
  at("model").textContent = model;
}

async function run() {
  running = new AbortController();
  const { signal } = running;
  canvas.clear();
  at("problem").textContent = at("answer").textContent = at("reason").textContent = "";
  at("fields").hidden = at("thinking").hidden = true;
  at("figures").textContent = "waiting";
  at("run").disabled = true;
  at("stop").disabled = false;
  let text = "", thought = "";
  try {
    await findModel();
    for await (const chunk of stream(body(), at("key").value, signal)) {
      if (chunk.structdiff?.event === "fields") showFields(chunk.structdiff.fields);
      else if (chunk.structdiff) canvas.add(chunk.structdiff);
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? "";
        thought += choice.delta.reasoning ?? "";
        if (choice.finish_reason) at("reason").textContent = `(${choice.finish_reason})`;
      }
      at("answer").textContent = text;
      at("thought").textContent = thought;
      at("thinking").hidden = !thought;
    }
  } catch (error) {
    if (!canvas.steps.length) at("figures").textContent = "Nothing generated.";
    at("problem").textContent = signal.aborted ? "Stopped." : error.message;
  } finally {
    at("run").disabled = false;
    at("stop").disabled = true;
  }
}

function showFields(fields) {
  at("fields").tBodies[0].replaceChildren(...Object.entries(fields).map(([pointer, field]) => {
    const row = document.createElement("tr"), [head, value, sure] = ["th", "td", "td"].map(tag => document.createElement(tag));
    head.scope = "row";
    head.textContent = pointer || "(whole)";
    value.textContent = field.present ? JSON.stringify(field.value) : "left out";
    value.className = field.present ? "" : "soft";
    sure.textContent = `${(100 * field.confidence).toFixed(1)} %`;
    sure.className = "sure";
    sure.style.setProperty("--sure", field.confidence);
    row.append(head, value, sure);
    return row;
  }));
  at("fields").hidden = false;
}

async function copy(form, name) {
  at("problem").textContent = "";
  try {
    await findModel();
    await navigator.clipboard.writeText(form(body(), at("key").value !== ""));
    at("copied").textContent = `Copied as ${name}.`;
  } catch (error) {
    at("problem").textContent = error.message;
  }
}

function relabel() { at("source-label").textContent = NAMES[kind()]; }

function choose(example) {
  document.querySelector(`[name=kind][value=${example.kind}]`).checked = true;
  at("text").value = example.text;
  at("source").value = { json: s => JSON.stringify(s, null, 2), regex: s => s, choice: s => s.join("\n") }[example.kind](example.source);
  relabel();
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

at("example").replaceChildren(...data.examples.map((example, i) => new Option(example.name, i)));
at("example").onchange = event => choose(data.examples[event.target.value]);
for (const radio of document.querySelectorAll("[name=kind]")) radio.onchange = relabel;
at("form").onsubmit = event => { event.preventDefault(); run(); };
at("stop").onclick = () => running.abort();
at("copy-curl").onclick = () => copy(asCurl, "curl");
at("copy-python").onclick = () => copy(asPython, "Python");
at("theme").onclick = theme;
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const act = {
    ArrowLeft: () => canvas.move(-1), ArrowRight: () => canvas.move(1),
    Home: () => canvas.move(-Infinity), End: () => canvas.move(Infinity),
    p: () => canvas.toggle(), t: theme, b: () => at("best").click(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
choose(data.examples[0]);
document.documentElement.dataset.ready = "true";
findModel().catch(error => { at("problem").textContent = error.message; });
