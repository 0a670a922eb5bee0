// The page: a form that asks the service, and the canvas and the answers that it gives.

import { Canvas } from "./canvas.js";
import { asCurl, asPython, checked, constraint, headers, refusal, stream } from "./request.js";
import { fill, found, keep, kind, link } from "./state.js";
import { judge } from "./validate.js";

const at = id => document.getElementById(id);
const NAMES = { json: "JSON Schema", regex: "Regular expression", choice: "Allowed answers, one a line" };
const TYPING = 500;
const data = await (await fetch("page.json")).json();
const canvas = new Canvas(data.kinds);
let model = null, running = null, checking = null, first = true, answers = [], used = null;

const number = id => at(id).value === "" ? null : Number(at(id).value);

function body() {
  const messages = [{ role: "user", content: at("text").value }];
  if (at("instructions").value.trim()) messages.unshift({ role: "system", content: at("instructions").value });
  const given = { model, messages, ...constraint(kind(), at("source").value) };
  if (number("seed") !== null) given.seed = number("seed");
  if (number("max-tokens") !== null) given.max_tokens = number("max-tokens");
  if (number("temperature") !== null) given.temperature = number("temperature");
  if (number("n") > 1) given.n = number("n");
  if (number("think") > 0) given.structdiff = { think: number("think") };
  return given;
}

function tell(error) {
  at("problem").textContent = error.message;
  if (error.status !== 401) return;
  at("key-box").open = true;
  at("key").focus();
}

async function findModel() {
  if (model !== null) return;
  const answer = await fetch("v1/models", { headers: headers(at("key").value) });
  if (!answer.ok) throw await refusal(answer);
  model = (await answer.json()).data[0].id;
  at("model").textContent = model;
}

async function run() {
  running = new AbortController();
  const { signal } = running, begun = performance.now();
  const clock = setInterval(() => { at("doing").textContent = `${((performance.now() - begun) / 1000).toFixed(1)} s`; }, 100);
  const asked = { kind: kind(), source: at("source").value, text: at("text").value };
  answers = Array.from({ length: Math.max(1, number("n") ?? 1) }, () => ({ text: "", thought: "", reason: "", fields: null }));
  used = null;
  canvas.clear(answers.length);
  canvas.onchoice = choice => showAnswer(choice, asked);
  at("problem").textContent = "";
  showAnswer(0, asked);
  at("figures").textContent = "waiting";
  at("run").disabled = true;
  at("stop").disabled = false;
  if (matchMedia("(max-width: 60rem)").matches) at("view").scrollIntoView();
  try {
    await findModel();
    for await (const chunk of stream(body(), at("key").value, signal)) {
      const told = chunk.structdiff;
      if (told?.event === "fields") answers[told.choice].fields = told.fields;
      else if (told?.event) canvas.add(told);
      for (const choice of chunk.choices) {
        const answer = answers[choice.index];
        answer.text += choice.delta.content ?? "";
        answer.thought += choice.delta.reasoning ?? "";
        answer.reason = choice.finish_reason ?? answer.reason;
      }
      if (chunk.usage) used = { ...chunk.usage, seconds: (performance.now() - begun) / 1000 };
      showAnswer(canvas.choice, asked);
    }
    if (first) canvas.replay();
    first = false;
  } catch (error) {
    if (!canvas.steps.length) at("figures").textContent = "Nothing generated.";
    tell(signal.aborted ? new Error("Stopped.") : error);
  } finally {
    clearInterval(clock);
    at("doing").textContent = "";
    at("run").disabled = false;
    at("stop").disabled = true;
  }
}

/** JSON with indentation, as it was written where it is none. */
function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function showAnswer(choice, asked) {
  const answer = answers[choice];
  at("answer").dataset.written = answer.text;
  at("answer").textContent = answer.reason && asked.kind === "json" ? pretty(answer.text) : answer.text;
  at("reason").textContent = answer.reason && `(${answer.reason})`;
  at("thought").textContent = answer.thought;
  at("thinking").hidden = !answer.thought;
  at("copy-answer").hidden = !answer.reason;
  const [good, said] = answer.reason ? verdict(answer.text, asked) : [true, ""];
  const cost = used && answer.reason
    ? ` · ${used.seconds.toFixed(1)} s · ${used.completion_tokens} tokens · ${used.structdiff.denoising_steps} steps` : "";
  at("verdict").textContent = said + cost;
  at("verdict").className = good ? "" : "wrong";
  showFields(answer.fields ?? {});
  showMarks(answer.fields ?? {}, asked.text);
}

/** [is it valid, what is said of it], judged in this page. */
function verdict(text, { kind, source }) {
  try {
    if (kind === "choice") return source.split("\n").includes(text) ? [true, "One of the lines"] : [false, "None of the lines"];
    if (kind === "regex") {
      return new RegExp(`^(?:${source})$`, "su").test(text) ? [true, "Matches the expression"] : [false, "Does not match as a browser reads it"];
    }
    const { faults, unjudged } = judge(JSON.parse(text), JSON.parse(source));
    if (faults.length) return [false, `Not valid: ${faults.join("; ")}`];
    return [true, unjudged.length ? `Valid; not judged in this page: ${unjudged.join(", ")}` : "Valid against the schema"];
  } catch (error) {
    return kind === "regex" ? [true, "Not judged in this page"] : [false, `Not valid: ${error.message}`];
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
    const here = on => { for (const mark of at("marked").children) mark.classList.toggle("here", on && mark.dataset.pointer === pointer); };
    row.onmouseenter = () => here(true);
    row.onmouseleave = () => here(false);
    row.append(head, value, sure);
    return row;
  }));
  at("fields").hidden = !Object.keys(fields).length;
}

/** The text with the places of values marked, as the answer carries them: (start, end) in code points. */
function showMarks(fields, text) {
  const spans = Object.entries(fields).filter(([, field]) => field.span).map(([pointer, field]) => ({ pointer, start: field.span[0], end: field.span[1] }));
  spans.sort((a, b) => a.start - b.start || b.end - a.end);
  const points = Array.from(text), nodes = [];
  let done = 0;
  for (const { pointer, start, end } of spans) {
    if (start < done) continue;
    const mark = document.createElement("mark");
    mark.textContent = points.slice(start, end).join("");
    mark.title = mark.dataset.pointer = pointer || "(whole)";
    nodes.push(points.slice(done, start).join(""), mark);
    done = end;
  }
  at("marked").replaceChildren(...nodes, points.slice(done).join(""));
  at("evidence").hidden = !spans.length;
}

async function copied(name, make) {
  at("problem").textContent = "";
  try {
    await navigator.clipboard.writeText(await make());
    at("copied").textContent = `Copied ${name}.`;
  } catch (error) {
    tell(error);
  }
}

const request = form => async () => { await findModel(); return form(body(), at("key").value !== ""); };

/** Ask the service whether the constraint can be written, without running it. */
async function check() {
  checking?.abort();
  const mine = checking = new AbortController();
  const say = (text, wrong = false) => {
    at("checked").textContent = text;
    at("checked").className = wrong ? "wrong" : "soft";
    at("source").setAttribute("aria-invalid", wrong);
  };
  let asked;
  try {
    asked = { ...body(), messages: [{ role: "user", content: "." }], n: undefined };
  } catch (error) {
    return say(error.message, true);
  }
  if (model === null) return say("");
  try {
    const said = await checked(asked, at("key").value, mine.signal);
    const left = said.restrictions.map(one => `never written at ${one.pointer || "/"}: ${one.keyword}: ${one.reason}`);
    say([`Can be written exactly, in ${said.min_tokens} tokens at least.`, ...left].join("\n"));
  } catch (error) {
    if (!mine.signal.aborted) say(error.message, error.status === 400);
  }
}

let typing = null;
function typed() {
  keep();
  at("source-label").textContent = NAMES[kind()];
  clearTimeout(typing);
  typing = setTimeout(check, TYPING);
}

function choose(example) {
  const source = { json: s => JSON.stringify(s, null, 2), regex: s => s, choice: s => s.join("\n") }[example.kind](example.source);
  fill({ kind: example.kind, text: example.text, source });
  typed();
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

at("example").replaceChildren(...data.examples.map((example, i) => new Option(example.name, i)));
at("example").onchange = event => choose(data.examples[event.target.value]);
at("form").oninput = event => { if (event.target.id !== "example" && event.target.id !== "key") typed(); };
at("form").onsubmit = event => { event.preventDefault(); run(); };
at("key").onchange = () => findModel().then(() => { at("problem").textContent = ""; check(); }, tell);
at("stop").onclick = () => running.abort();
at("copy-link").onclick = () => copied("a link", link);
at("copy-curl").onclick = () => copied("as curl", request(asCurl));
at("copy-python").onclick = () => copied("as Python", request(asPython));
at("copy-answer").onclick = () => copied("the answer", () => at("answer").dataset.written);
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
const before = found();  // a person's own words stand before an example
choose(data.examples[0]);
if (before) { fill(before); typed(); }
document.documentElement.dataset.ready = "true";
findModel().then(check, tell);
