// What a person has typed: kept when the page is loaded again, and shared as a link. A key is neither kept nor shared.

const at = id => document.getElementById(id);
const FIELDS = ["text", "instructions", "source", "seed", "n", "temperature", "max-tokens", "think"];
const PLACE = "structdiff";

export const kind = () => document.querySelector("[name=kind]:checked").value;

function taken() {
  return { kind: kind(), ...Object.fromEntries(FIELDS.map(name => [name, at(name).value])) };
}

export function fill(state) {
  const radio = [...document.querySelectorAll("[name=kind]")].find(one => one.value === state.kind);
  if (radio) radio.checked = true;
  for (const name of FIELDS) if (typeof state[name] === "string") at(name).value = state[name];
}

export function keep() {
  try { localStorage.setItem(PLACE, JSON.stringify(taken())); } catch { /* storage is switched off: nothing is kept */ }
}

/** The state of the link, or of the last visit; null where there is none. */
export function found() {
  try {
    if (location.hash.length > 1) {
      const bytes = Uint8Array.from(atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
      return JSON.parse(new TextDecoder().decode(bytes));
    }
    return JSON.parse(localStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

export function link() {
  const bytes = new TextEncoder().encode(JSON.stringify(taken()));
  const text = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
  return `${location.origin}${location.pathname}#${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}
