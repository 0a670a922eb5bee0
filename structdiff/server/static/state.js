// What a person has typed: kept when the page is loaded again, and shared as a link. A key is neither kept nor shared.

const at = id => document.getElementById(id);
const FIELDS = ["text", "instructions", "source", "seed", "n", "temperature", "max-tokens", "think"];
const PLACE = "structdiff", SHARED = "#ask=";

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
  if (location.hash.startsWith(SHARED)) history.replaceState(null, "", location.pathname);
  try { localStorage.setItem(PLACE, JSON.stringify(taken())); } catch { /* storage is switched off: nothing is kept */ }
}

/** The state of the link, or of the last visit; null where there is none. */
export function found() {
  try {
    if (location.hash.startsWith(SHARED)) {
      const text = location.hash.slice(SHARED.length).replaceAll("-", "+").replaceAll("_", "/");
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text), c => c.charCodeAt(0))));
    }
    return JSON.parse(localStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

/** A link that is opened where the page is open already. */
addEventListener("hashchange", () => { if (location.hash.startsWith(SHARED)) location.reload(); });

export function link() {
  const bytes = new TextEncoder().encode(JSON.stringify(taken()));
  const text = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
  return `${location.origin}${location.pathname}${SHARED}${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}
