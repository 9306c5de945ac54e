// What the page asks the daemon, and the token that it shows to change anything.

const TOKEN = "moonlatch.token";

// Refusal is the daemon's no, in its own words. Gone means that nobody answered.
export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
export class Gone extends Error {}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (t) => sessionStorage.setItem(TOKEN, t.trim()),
  forget: () => sessionStorage.removeItem(TOKEN),
};

export const get = (name) => ask("GET", name);

export const post = (name, body) => ask("POST", name, body);

async function ask(method, name, body) {
  const headers = {};
  if (method === "POST") {
    headers["Content-Type"] = "application/json";
    headers["X-Moonlatch-Token"] = token.get();
  }
  let response;
  try {
    response = await fetch("/api/" + name, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(30_000),
    });
  } catch {
    throw new Gone("the daemon does not answer");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(answer.code ?? "failed", answer.error ?? `the daemon answered ${response.status}`);
  return answer;
}
