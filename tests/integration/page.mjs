// Runs the page without a browser: just enough of a document, and a user who plays.
// Arguments: address of the server, name, opponent to invite ("" to wait for one).

const [address, name, opponent] = process.argv.slice(2);

class Element {
  constructor() {
    Object.assign(this, { children: [], dataset: {}, attributes: {}, names: new Set(), textContent: "", value: "", hidden: false });
    this.classList = { toggle: (one, on) => (on ? this.names.add(one) : this.names.delete(one)) };
  }
  set className(text) { this.names = new Set(text.split(" ").filter(Boolean)); this.classList = { toggle: (one, on) => (on ? this.names.add(one) : this.names.delete(one)) }; }
  append(...parts) { this.children.push(...parts); }
  replaceChildren(...parts) { this.children = parts; }
  insertBefore(part, next) {
    part.parent = this;
    this.children.splice(next ? this.children.indexOf(next) : this.children.length, 0, part);
  }
  remove() { this.parent.children.splice(this.parent.children.indexOf(this), 1); }
  setAttribute(key, value) { this.attributes[key] = value; }
  focus() { this.onfocus?.(); }
  contains() { return false; }
  *walk() { yield this; for (const child of this.children) yield* child.walk(); }
  querySelectorAll(selector) { return [...this.walk()].filter((each) => each.names.has(selector.slice(1))); }
}

const byId = new Map();
const element = (id) => byId.get(id) ?? byId.set(id, new Element()).get(id);
const kept = new Map();
Object.assign(globalThis, {
  document: { getElementById: element, createElement: () => new Element(), activeElement: null, title: "" },
  location: new URL(address),
  localStorage: { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) },
  addEventListener: () => {},
  confirm: () => true,
});

const fail = setTimeout(() => { console.log("out of time", element("notice").textContent); process.exit(1); }, 60000);
await import(process.env.PAGE);

element("login-name").value = name;
element("login-password").value = "secret";
element("login-form").onsubmit({ preventDefault() {} });

let invited = false;
let played = "";
const playing = setInterval(() => {
  if (element("game").hidden) return;
  if (opponent && !invited) {
    invited = true;
    element("invite-name").value = opponent;
    element("invite-form").onsubmit({ preventDefault() {} });
  }
  const headline = element("turn").textContent;
  if (/won|draw/.test(headline)) {
    clearTimeout(fail);
    clearInterval(playing);
    const marks = element("board").querySelectorAll(".cell").filter((cell) => cell.textContent).length;
    console.log(JSON.stringify({ headline, marks, rating: element("rating").textContent }));
    setTimeout(() => process.exit(0), 200);
    return;
  }
  const cells = element("board").querySelectorAll(".can");
  const all = element("board").querySelectorAll(".cell").map((cell) => cell.textContent || ".").join("");
  if (cells.length && all !== played) {
    played = all;
    cells[0].onclick();
  }
}, 5);
