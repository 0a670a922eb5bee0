// A judge of answers that shares nothing with the service: the keywords of JSON Schema that pages need most.

const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = value => Array.isArray(value) ? value.map(sorted) : value && typeof value === "object"
  ? Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])])) : value;
const kindOf = value => value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
const is = (value, type) => type === "integer" ? Number.isInteger(value) : kindOf(value) === type;
const long = text => [...text].length;
const escaped = key => String(key).replaceAll("~", "~0").replaceAll("/", "~1");
const SILENT = new Set(["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples",
  "deprecated", "readOnly", "writeOnly", "then", "else"]);
const LIMIT = {
  minimum: (v, n) => typeof v !== "number" || v >= n, maximum: (v, n) => typeof v !== "number" || v <= n,
  exclusiveMinimum: (v, n) => typeof v !== "number" || v > n, exclusiveMaximum: (v, n) => typeof v !== "number" || v < n,
  minLength: (v, n) => typeof v !== "string" || long(v) >= n, maxLength: (v, n) => typeof v !== "string" || long(v) <= n,
  minItems: (v, n) => !Array.isArray(v) || v.length >= n, maxItems: (v, n) => !Array.isArray(v) || v.length <= n,
  minProperties: (v, n) => kindOf(v) !== "object" || Object.keys(v).length >= n,
  maxProperties: (v, n) => kindOf(v) !== "object" || Object.keys(v).length <= n,
  required: (v, names) => kindOf(v) !== "object" || names.every(name => Object.hasOwn(v, name)),
  type: (v, types) => [types].flat().some(type => is(v, type)),
  const: (v, one) => same(v, one), enum: (v, all) => all.some(one => same(v, one)),
  pattern: (v, pattern) => typeof v !== "string" || new RegExp(pattern, "u").test(v),
};
const OVERLAPPING = { allOf: (n, all) => n === all, anyOf: n => n > 0, oneOf: n => n === 1 };

/** What is wrong with a value under a schema, a line each, and the keywords that are not judged here. */
export function judge(value, schema) {
  const faults = [], unjudged = new Set();
  check(value, schema, "", schema, faults, unjudged, 0);
  return { faults, unjudged: [...unjudged] };
}

function check(value, schema, place, root, faults, unjudged, depth) {
  const fault = said => faults.push(`at ${place || "/"}: ${said}`);
  if (schema === true) return;
  if (schema === false) return void fault("nothing is allowed here");
  if (depth > 200) return void unjudged.add("$ref");
  const inner = (v, s, at, found) => check(v, s, at, root, found, unjudged, depth + 1);
  for (const [keyword, given] of Object.entries(schema)) {
    try {
      if (SILENT.has(keyword)) continue;
      if (keyword in LIMIT) { if (!LIMIT[keyword](value, given)) fault(`${keyword} ${JSON.stringify(given)}`); }
      else if (keyword in OVERLAPPING) {
        const held = given.filter(one => { const found = []; inner(value, one, place, found); return !found.length; }).length;
        if (!OVERLAPPING[keyword](held, given.length)) fault(`${keyword}: ${held} of ${given.length} hold`);
      } else if (keyword === "$ref" && (given === "#" || given.startsWith("#/"))) inner(value, target(root, given), place, faults);
      else if (keyword === "properties") {
        if (kindOf(value) !== "object") continue;
        for (const [key, one] of Object.entries(given)) if (Object.hasOwn(value, key)) inner(value[key], one, `${place}/${escaped(key)}`, faults);
      } else if (keyword === "additionalProperties" && !schema.patternProperties) {
        if (kindOf(value) !== "object") continue;
        for (const key of Object.keys(value)) if (!Object.hasOwn(schema.properties ?? {}, key)) inner(value[key], given, `${place}/${escaped(key)}`, faults);
      } else if (keyword === "items" && !Array.isArray(given)) {
        if (Array.isArray(value)) value.slice((schema.prefixItems ?? []).length).forEach((one, i) => inner(one, given, `${place}/${i}`, faults));
      } else if (keyword === "prefixItems") {
        if (Array.isArray(value)) given.forEach((one, i) => { if (i < value.length) inner(value[i], one, `${place}/${i}`, faults); });
      } else unjudged.add(keyword);
    } catch { unjudged.add(keyword); }
  }
}

function target(root, pointer) {
  return decodeURIComponent(pointer).split("/").slice(1)
    .reduce((at, part) => at[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}
