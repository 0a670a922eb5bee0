// The canvas at one denoising step, with a scrubber over all of them.

const at = id => document.getElementById(id);
const SHOWN = { "\n": "⏎", "\r": "␍", "\t": "→" };
const oneLine = piece => piece.replace(/[\n\r\t]/g, c => SHOWN[c]).replace(/\p{Cc}/gu, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

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
    this.clear();
  }

  clear() {
    this.play(false);
    this.canvases = [];
    this.steps = [];
    this.pieces = {};
    this.now = 0;
    this.follow = true;
    at("canvas").replaceChildren();
  }

  /** One event of the trace. The view follows the newest step until somebody scrubs back. */
  add(event) {
    if (event.event === "canvas") this.canvases.push({ number: event.canvas, text: "", thought: false });
    const canvas = this.canvases.at(-1);
    if (event.event === "commit") Object.assign(canvas, { text: event.text, thought: event.thought });
    if (event.event !== "step") return;
    Object.assign(this.pieces, event.pieces);
    this.steps.push({ ...event, canvas });
    this.show(this.follow ? this.steps.length - 1 : this.now);
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
    const nodes = this.canvases.slice(0, this.canvases.indexOf(step.canvas)).map(canvas =>
      span(canvas.thought ? "before thought" : "before", canvas.text, canvas.thought ? "thought" : "a committed canvas"));
    (at("best").checked ? step.best : step.tokens).forEach((token, i) => {
      const { title } = this.kinds[step.kinds[i]];
      const note = `position ${i}, ${title}, token ${token}, entropy ${step.entropy[i]} nats`;
      const node = span(title, title === "tail" ? "·" : oneLine(this.pieces[token]), note);
      node.style.setProperty("--sure", Math.exp(-step.entropy[i]).toFixed(3));
      nodes.push(node);
    });
    at("canvas").replaceChildren(...nodes);
  }

  chart(last) {
    const top = Math.max(1e-9, ...this.steps.map(step => step.mean));
    const x = i => last ? 100 * i / last : 50;
    const points = this.steps.map((step, i) => `${x(i)},${54 - 52 * step.mean / top}`);
    const [path, line] = at("chart").children;
    path.setAttribute("d", `M${points.join("L")}`);
    line.setAttribute("x1", x(this.now));
    line.setAttribute("x2", x(this.now));
  }

  play(on) {
    clearInterval(this.timer);
    this.timer = on ? setInterval(() => this.now + 1 < this.steps.length ? this.show(this.now + 1) : this.play(false), 180) : null;
    at("play").textContent = on ? "Pause" : "Play";
    at("play").setAttribute("aria-pressed", on);
  }

  toggle() {
    if (!this.timer && this.now + 1 >= this.steps.length) this.show(0);
    this.play(!this.timer && this.steps.length > 0);
  }
}

function span(kind, text, title = "", tag = "span") {
  return Object.assign(document.createElement(tag), { className: kind, textContent: text, title });
}
