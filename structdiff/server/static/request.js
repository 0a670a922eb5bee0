// The request: its body, the same as curl and as Python, and the events of a streamed answer.

const PATH = "v1/chat/completions";

/** The fields of a request that say what the answer must be. Throws where the source cannot be read. */
export function constraint(kind, source) {
  if (kind === "regex") return { structured_outputs: { regex: source } };
  if (kind === "choice") {
    const choice = source.split("\n").filter(line => line !== "");
    return { structured_outputs: { choice } };
  }
  let schema;
  try {
    schema = JSON.parse(source);
  } catch (error) {
    throw new Error(`The schema is not JSON: ${error.message}`);
  }
  return { response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } } };
}

/** A POST with curl; a key is read from the environment. */
export function asCurl(body, withKey) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", `'\\''`);
  const key = withKey ? ` \\\n  -H "Authorization: Bearer $STRUCTDIFF_API_KEY"` : "";
  return `curl '${new URL(PATH, document.baseURI)}' \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'\n`;
}

/** The same with the openai package. */
export function asPython(body, withKey) {
  const { structured_outputs, structdiff, ...rest } = body;
  const extra = { ...(structured_outputs && { structured_outputs }), ...(structdiff && { structdiff }) };
  const given = Object.entries(Object.keys(extra).length ? { ...rest, extra_body: extra } : rest);
  const lines = given.map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  const key = withKey ? 'os.environ["STRUCTDIFF_API_KEY"]' : '"none"';
  return [
    ...(withKey ? ["import os", ""] : []),
    "from openai import OpenAI", "",
    `client = OpenAI(base_url=${JSON.stringify(new URL("v1", document.baseURI).href)}, api_key=${key})`,
    "done = client.chat.completions.create(", ...lines, ")",
    "print(done.choices[0].message.content)", "",
  ].join("\n");
}

function literal(value, level) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const array = Array.isArray(value), pad = "    ".repeat(level);
  const members = array ? value.map(one => literal(one, level + 1))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, level + 1)}`);
  const [open, close] = array ? "[]" : "{}";
  const line = open + members.join(", ") + close;
  if (line.length <= 80 && !line.includes("\n")) return line;
  return `${open}\n${members.map(one => `${pad}    ${one},\n`).join("")}${pad}${close}`;
}

export function headers(key) {
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

/** The chunks of a streamed answer, until [DONE]. Throws what the service refuses or what breaks off. */
export async function* stream(body, key, signal) {
  const asked = JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true }, structdiff: { ...body.structdiff, trace: true, fields: true } });
  const answer = await fetch(PATH, { method: "POST", headers: headers(key), body: asked, signal });
  if (!answer.ok) throw await refusal(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The answer broke off before its end.");
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      yield chunk;
    }
  }
}

/** The error that an answer of the service tells, with its status. */
export async function refusal(answer) {
  const body = await answer.json().catch(() => ({}));
  const error = new Error(`${answer.status}: ${body.error?.message ?? answer.statusText}`);
  return Object.assign(error, { status: answer.status });
}

/** What the service says of the constraint of a request that is not run. */
export async function checked(body, key, signal) {
  const answer = await fetch("v1/structdiff/check", { method: "POST", headers: headers(key), body: JSON.stringify(body), signal });
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}
