// Doing something: the token is asked for where it is missing or wrong, and what
// came of it is said.
import { html, useEffect, useRef, useState } from "./lib/htm-preact.js";
import { Gone, post, token } from "./api.js";
import { load, Model, refresh } from "./model.js";
import { Dialog, Icon } from "./parts.js";

export const acts = new Model({
  waiting: null, // what to do once there is a token: [name, body, said, resolve]
  wrong: "", // why the token that was given is none
  said: [], // what came of the last things, newest last
});

let count = 0;

// say shows a line for some seconds; what went wrong stays until it is dismissed.
export function say(text, good = true) {
  const line = { id: ++count, text, good };
  acts.set({ said: [...acts.values.said.slice(-3), line] });
  if (good) setTimeout(() => dismiss(line.id), 6000);
}

const dismiss = (id) => acts.set({ said: acts.values.said.filter((l) => l.id !== id) });

// act asks the daemon to change something and reports whether it did.
export async function act(name, body, said) {
  if (!token.get()) return askToken(name, body, said, "");
  try {
    await post(name, body);
  } catch (e) {
    if (e.code === "not_permitted") {
      token.forget();
      return askToken(name, body, said, e.message);
    }
    say(e instanceof Gone ? "Not done: the daemon does not answer." : `Not done: ${e.message}`, false);
    refresh();
    return false;
  }
  if (said) say(said);
  await Promise.all([refresh(), load("bans")]);
  return true;
}

function askToken(name, body, said, wrong) {
  return new Promise((resolve) => acts.set({ waiting: [name, body, said, resolve], wrong }));
}

export function TokenDialog() {
  const { waiting, wrong } = acts.use();
  const [text, setText] = useState("");
  const input = useRef();
  useEffect(() => {
    setText("");
    input.current?.focus();
  }, [waiting]);
  if (!waiting) return null;
  const [name, body, said, resolve] = waiting;
  const close = () => {
    if (acts.values.waiting !== waiting) return;
    acts.set({ waiting: null, wrong: "" });
    resolve(false);
  };
  const go = async (e) => {
    e.preventDefault();
    if (!text.trim()) return;
    token.set(text);
    acts.set({ waiting: null, wrong: "" });
    resolve(await act(name, body, said));
  };
  return html`<${Dialog} title="Show the token" onClose=${close}>
    <form onSubmit=${go}>
      <p>Whoever sees this page may look. To change anything, show the token that this command prints on the host:</p>
      <pre class="command">sudo moonlatch web token</pre>
      ${wrong && html`<p class="wrong" role="alert"><${Icon} name="warn" />${wrong}</p>`}
      <label for="token">Token</label>
      <input id="token" ref=${input} type="password" autocomplete="off" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)} />
      <p class="note">It is kept in this tab only, and forgotten when you close it.</p>
      <div class="dialog-acts"><button type="button" onClick=${close}>Cancel</button><button class="confirm" id="show-token">Go on</button></div>
    </form>
  </${Dialog}>`;
}

export function Said() {
  const { said } = acts.use();
  return html`<div class="said" role="status" aria-live="polite">
    ${said.map((l) => html`<p key=${l.id} class=${l.good ? "good" : "bad"}><${Icon} name=${l.good ? "check" : "warn"} /><span>${l.text}</span>
      <button class="quiet square" aria-label="Dismiss" onClick=${() => dismiss(l.id)}><${Icon} name="cross" /></button></p>`)}
  </div>`;
}
