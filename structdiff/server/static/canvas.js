// The canvas at one denoising step, with a scrubber over all of them.

const at = id => document.getElementById(id);
const SHOWN = { "\n": "⏎", "\r": "␍", "\t": "→" };
const oneLine = piece => piece.replace(/[\n\r\t]/g, c => SHOWN[c]).replace(/\p{Cc}/gu, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
const PACE = 180, SLOW = 450, LONGEST = 12000;

export class Canvas {
  constructor(kinds) {
    this.kinds = Object.fromEntries(kinds.map(kind => [kind.mark, kind]));
    this.timer = null;
    at("legend").replaceChildren(...kinds.map(kind => {
      const item = document.createElement("li");
      item.append(span(kind.title, kind.title, "", "i"), ` ${kind.note}`);
      return item;
    }));
    at("scrub").oninput = event => { this.play(false); this.show(Number(event.target.value)); };
    at("best").onchange = () => this.show(this.now);
    at("play").onclick = () => this.toggle();
    at("choice").onchange = event => this.choose(Number(event.target.value));
    at("canvas").onclick = event => { if (event.target.dataset.place) this.pick(Number(event.target.dataset.place)); };
    at("canvas").onkeydown = event => this.key(event);
    at("canvas").addEventListener("focusin", event => { if (event.target.dataset.place) this.pick(Number(event.target.dataset.place)); });
    this.clear(1);
  }

  /** Begin anew, with so many choices. */
  clear(choices) {
    this.play(false);
    this.choices = Array.from({ length: choices }, () => ({ canvases: [], steps: [] }));
    this.pieces = {};
    this.now = this.choice = 0;
    this.picked = null;
    this.follow = true;
    this.onchoice = () => {};
    at("choice").replaceChildren(...this.choices.map((_, i) => new Option(`${i + 1} of ${choices}`, i)));
    at("choices").hidden = choices < 2;
    at("chart").hidden = true;
    at("canvas").replaceChildren();
  }

  get steps() { return this.choices[this.choice].steps; }
  get canvases() { return this.choices[this.choice].canvases; }

  choose(choice) {
    this.play(false);
    this.choice = choice;
    this.show(this.steps.length - 1);
    this.onchoice(choice);
  }

  /** One event of the trace. The view follows the newest step until somebody scrubs back. */
  add(event) {
    const { canvases, steps } = this.choices[event.choice];
    if (event.event === "canvas") canvases.push({ number: event.canvas, text: "", thought: false });
    const canvas = canvases.at(-1);
    if (event.event === "commit") Object.assign(canvas, { text: event.text, thought: event.thought });
    if (event.event !== "step") return;
    Object.assign(this.pieces, event.pieces);
    steps.push({ ...event, canvas });
    if (event.choice === this.choice) this.show(this.follow ? steps.length - 1 : this.now);
  }

  move(by) { this.play(false); this.show(this.now + by); }

  show(index) {
    const last = this.steps.length - 1;
    this.now = Math.max(0, Math.min(last, index));
    this.follow = this.now === last;
    at("scrub").max = Math.max(0, last);
    at("scrub").value = this.now;
    const step = this.steps[this.now];
    if (!step) return;
    this.chart(last);
    const settled = [...step.kinds].filter(mark => "#=".includes(mark)).length;
    const words = `canvas ${step.canvas.number + 1} of ${this.canvases.length}, step ${this.now + 1} of ${this.steps.length}, ` +
      `${settled} of ${step.live} tokens settled, mean entropy ${step.mean.toFixed(3)} nats`;
    at("figures").textContent = words;
    at("scrub").setAttribute("aria-valuetext", words);
    const focused = at("canvas").contains(document.activeElement);
    const nodes = this.canvases.slice(0, this.canvases.indexOf(step.canvas)).map(canvas =>
      span(canvas.thought ? "before thought" : "before", canvas.text, canvas.thought ? "thought" : "a committed canvas"));
    const tokens = at("best").checked ? step.best : step.tokens;
    if (this.picked !== null && this.picked >= tokens.length) this.picked = null;
    this.tokens = tokens.map((token, i) => {
      const { title } = this.kinds[step.kinds[i]];
      const piece = oneLine(this.pieces[token]);
      const note = `position ${i}, ${title}, token ${token}, entropy ${step.entropy[i]} nats`;
      const node = span(title, title === "padding" ? "·" : piece, note);
      node.style.setProperty("--sure", Math.exp(-step.entropy[i]).toFixed(3));
      node.dataset.place = i;
      node.dataset.note = `“${piece}”: ${note}`;
      node.tabIndex = i === (this.picked ?? 0) ? 0 : -1;
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", `${piece}, ${note}`);
      node.setAttribute("aria-pressed", i === this.picked);
      return node;
    });
    at("canvas").replaceChildren(...nodes, ...this.tokens);
    if (this.picked !== null) this.pick(this.picked, focused);
  }

  /** Choose a token: it is explained below the canvas. */
  pick(place, focus = false) {
    for (const node of this.tokens) {
      const here = Number(node.dataset.place) === place;
      node.tabIndex = here ? 0 : -1;
      node.setAttribute("aria-pressed", here);
    }
    this.picked = place;
    at("token").textContent = this.tokens[place].dataset.note;
    if (focus) this.tokens[place].focus();
  }

  key(event) {
    if (!event.target.dataset.place || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = Number(event.target.dataset.place), last = this.tokens.length - 1;
    const to = { ArrowLeft: place - 1, ArrowUp: place - 1, ArrowRight: place + 1, ArrowDown: place + 1, Home: 0, End: last,
      Enter: place, " ": place }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.play(false);
    this.tokens[Math.max(0, Math.min(last, to))].focus();
  }

  chart(last) {
    at("chart").hidden = false;
    const top = Math.max(1e-9, ...this.steps.map(step => step.mean));
    const x = i => last ? 100 * i / last : 50;
    const points = this.steps.map((step, i) => `${x(i)},${54 - 52 * step.mean / top}`);
    const [path, line] = at("chart").querySelector("svg").children;
    path.setAttribute("d", `M${points.join("L")}`);
    line.setAttribute("x1", x(this.now));
    line.setAttribute("x2", x(this.now));
    at("y-top").textContent = top.toFixed(2);
    at("x-last").textContent = last + 1;
  }

  play(on, pace = PACE) {
    clearInterval(this.timer);
    this.timer = on ? setInterval(() => this.now + 1 < this.steps.length ? this.show(this.now + 1) : this.play(false), pace) : null;
    at("play").textContent = on ? "Pause" : "Play";
    at("play").setAttribute("aria-pressed", on);
  }

  /** Show all steps once more, slowly enough to be followed. */
  replay() {
    if (this.steps.length < 2 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.show(0);
    this.play(true, Math.min(SLOW, LONGEST / this.steps.length));
  }

  toggle() {
    if (!this.timer && this.now + 1 >= this.steps.length) this.show(0);
    this.play(!this.timer && this.steps.length > 0);
  }
}

function span(kind, text, title = "", tag = "span") {
  return Object.assign(document.createElement(tag), { className: kind, textContent: text, title });
}
