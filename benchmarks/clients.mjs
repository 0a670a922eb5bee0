// The clients of Node for benchmarks/clients.py, which runs this with a client's name and the service's address.

const [name, url] = process.argv.slice(-2);
const MODEL = "embedded", ANN = { name: "Ann", age: 31 }, REPORT = { warm: true, sum: 18 }, TOLD = "It is warm, 9 degrees.";
const PERSON = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"], additionalProperties: false };
const FORM = { type: "object", properties: { warm: { type: "boolean" }, sum: { type: "integer" } }, required: ["warm", "sum"], additionalProperties: false };
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const PAIR = { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a", "b"], additionalProperties: false };
const DO = { weather: () => "9", add: ({ a, b }) => String(a + b) };

function expect(found, wanted) {
  const [a, b] = [found, wanted].map(value => JSON.stringify(value));
  if (a !== b) throw new Error(`${a} is not ${b}`);
}

async function openaiNode(task) {
  const { default: OpenAI } = await import("openai");
  const chat = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 }).chat.completions;
  const messages = [{ role: "user", content: `TASK-${task.toUpperCase()}` }];
  const tools = Object.entries({ weather: CITY, add: PAIR }).map(([name, parameters]) => ({ type: "function", function: { name, parameters } }));
  const form = (name, schema) => ({ type: "json_schema", json_schema: { name, schema, strict: true } });
  if (task === "object") {
    const done = await chat.parse({ model: MODEL, messages, response_format: form("person", PERSON) });
    expect(done.choices[0].message.parsed ?? JSON.parse(done.choices[0].message.content), ANN);
  } else if (task === "stream") {
    let text = "";
    for await (const chunk of await chat.create({ model: MODEL, messages, stream: true })) text += chunk.choices[0]?.delta.content ?? "";
    expect(text, TOLD);
  } else if (task === "tools") {
    const calls = (await chat.create({ model: MODEL, messages, tools })).choices[0].message.tool_calls;
    expect(calls.map(one => [one.function.name, JSON.parse(one.function.arguments)]), [["weather", { city: "Bonn" }]]);
  } else {
    for (let turn = 0; turn < 2; turn++) {
      const { message } = (await chat.create({ model: MODEL, messages, tools })).choices[0];
      messages.push(message);
      for (const call of message.tool_calls) {
        messages.push({ role: "tool", tool_call_id: call.id, content: DO[call.function.name](JSON.parse(call.function.arguments)) });
      }
    }
    const last = await chat.create({ model: MODEL, messages, tools, response_format: form("report", FORM) });
    expect(JSON.parse(last.choices[0].message.content), REPORT);
  }
}

async function vercel(task) {
  const { createOpenAI } = await import("@ai-sdk/openai");
  const { generateText, jsonSchema, Output, stepCountIs, streamText, tool } = await import("ai");
  const model = createOpenAI({ baseURL: url, apiKey: "none" })(MODEL);
  const prompt = `TASK-${task.toUpperCase()}`, maxRetries = 0;
  const tools = {
    weather: tool({ description: "The temperature in a city.", inputSchema: jsonSchema(CITY), execute: DO.weather }),
    add: tool({ description: "The sum of two numbers.", inputSchema: jsonSchema(PAIR), execute: DO.add }),
  };
  if (task === "object") {
    const done = await generateText({ model, prompt, maxRetries, output: Output.object({ schema: jsonSchema(PERSON) }) });
    expect(done.output, ANN);
  } else if (task === "stream") {
    let text = "";
    for await (const part of streamText({ model, prompt, maxRetries }).textStream) text += part;
    expect(text, TOLD);
  } else if (task === "tools") {
    const done = await generateText({ model, prompt, maxRetries, tools, stopWhen: stepCountIs(1) });
    expect(done.toolCalls.map(one => [one.toolName, one.input]), [["weather", { city: "Bonn" }]]);
  } else {
    const output = Output.object({ schema: jsonSchema(FORM) });
    const done = await generateText({ model, prompt, maxRetries, tools, output, stopWhen: stepCountIs(5) });
    expect(done.output, REPORT);
    expect(done.steps.flatMap(step => step.toolCalls.map(one => one.toolName)), ["weather", "add"]);
  }
}

const found = {};
for (const task of ["object", "stream", "tools", "loop"]) {
  try {
    await { "openai-node": openaiNode, "Vercel AI SDK": vercel }[name](task);
    found[task] = "yes";
  } catch (error) {
    found[task] = error.code === "ERR_MODULE_NOT_FOUND" ? "missing" : `NO: ${String(error.message ?? error).replace(/\s+/g, " ").slice(0, 200)}`;
  }
}
console.log(JSON.stringify(found));
process.exit(0);
