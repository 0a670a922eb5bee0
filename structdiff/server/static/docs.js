// The routes and the fields of their requests, out of openapi.json.
const main = document.getElementById("routes");

function element(name, text, ...inside) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...inside);
  return made;
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "array") return `[${kind(schema.items ?? {})}, ...]`;
  return schema.type ?? "any";
}

function fields(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const needed = (schema.required ?? []).includes(name) ? "" : "?";
    return element("tr", "", element("td", name + needed), element("td", kind(one)), element("td", one.description ?? ""));
  });
  return element("table", "", ...rows);
}

const answer = await fetch("openapi.json");
const api = await answer.json();
if (answer.ok) {
  main.replaceChildren();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      main.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", route.description ?? ""));
    }
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    main.append(element("h3", name), element("p", schema.description ?? ""), fields(schema));
  }
}
