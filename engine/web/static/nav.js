// Where in the page one is: the part of the address behind the #.
import { useEffect, useState } from "./lib/htm-preact.js";

export const VIEWS = [
  ["now", "Now", "pulse"],
  ["bans", "Bans", "ban"],
  ["traffic", "Traffic", "chart"],
  ["rules", "Rules", "list"],
  ["policy", "Policy", "code"],
];

// why is the address of the answer to why somebody is banned.
export const why = (address) => "#/why/" + encodeURIComponent(address);

function place() {
  const [view, argument] = location.hash.replace(/^#\/?/, "").split("/");
  return [view || "now", argument ? decodeURIComponent(argument) : ""];
}

export function usePlace() {
  const [at, setAt] = useState(place());
  useEffect(() => {
    const moved = () => setAt(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return at;
}
