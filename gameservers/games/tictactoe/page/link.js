// The connection to the server: one WebSocket, which is opened again when it is lost, and which
// notices when nobody answers.  It knows which message answers which, and nothing of the game.

/** ms after which an answer is late. */
export const LATE = 3_000;
/** ms after which a connection without an answer is given up for a new one. */
export const DEAD = 15_000;
/** ms of silence after which the server is asked whether it is there. */
export const QUIET = 10_000;
/** ms between two looks at the time. */
export const TICK = 500;

/** What the server answers to each message. */
const ANSWERS = {
  login: "login_response",
  reconnect: "reconnect_response",
  match_request: "match_request_response",
  cancel_request: "match_request_response",
  friend_request: "friend_request_response",
  unfriend_request: "unfriend_request_response",
  move: "match_update",
  end_match: "match_update",
  ping: "pong",
};

/** Seconds to wait before the n-th attempt to connect again, n from 0. */
export function pause(n) {
  return Math.min(30, 2 ** n);
}

export class Link {
  /**
   * @param {object} owner with
   *   open(): a connection is there;
   *   hear(type, data): a message has come;
   *   gone(): the connection is gone;
   *   again(): whether to connect again, when it was lost;
   *   changed(): `state` is another one.
   */
  constructor(address, owner, now = () => performance.now()) {
    Object.assign(this, { address, owner, now });
    this.state = "closed"; // or "opening", "open", "late", "waiting"
    this.wait = 0; // seconds until the next attempt, in the state "waiting"
    this.attempts = 0;
    this.socket = null;
    this.asked = []; // what has no answer yet, the oldest first
    this.heard = this.ticked = now();
  }

  connect() {
    this.drop();
    this.since = this.heard = this.now();
    this.set("opening");
    const own = (this.socket = new WebSocket(this.address));
    own.onopen = () => {
      if (own !== this.socket) return;
      this.heard = this.now();
      this.set("open");
      this.owner.open();
    };
    own.onmessage = (event) => {
      if (own !== this.socket) return;
      const { type, data } = JSON.parse(event.data);
      this.heard = this.now();
      const answered = this.asked.findIndex((each) => each.answer === type && (!each.match || each.match === data.id));
      if (answered >= 0) this.asked.splice(answered, 1);
      this.look();
      this.owner.hear(type, data);
    };
    own.onclose = () => {
      if (own === this.socket) this.lost();
    };
  }

  /** Connect now if there is no connection, instead of later. */
  hurry() {
    if (this.state === "waiting") this.connect();
  }

  /** Send a message; whether there was a connection for it. */
  send(type, data) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    const match = ANSWERS[type] === "match_update" ? data.id : null;
    this.asked.push({ answer: ANSWERS[type], match, at: this.now() });
    this.socket.send(JSON.stringify({ type, data }));
    return true;
  }

  close() {
    this.drop();
    this.set("closed");
  }

  /** To be called every TICK: are answers late, or is it too quiet? */
  tick(canAsk) {
    const now = this.now();
    if (now - this.ticked > 10 * TICK) { // the machine slept, and what came meanwhile is not read yet
      for (const each of this.asked) each.at = now;
      this.since = now;
    }
    this.ticked = now;
    const quiet = this.asked.length === 0 && now - this.heard > QUIET;
    if (quiet && canAsk && this.state === "open") this.send("ping", {});
    if (this.state === "waiting" && now >= this.retry) this.connect();
    else if (this.age() > DEAD) this.connect();
    else this.look();
  }

  /** ms for which something has been waited for. */
  age() {
    if (this.state === "waiting" || this.state === "closed") return 0;
    if (this.socket.readyState !== WebSocket.OPEN) return this.now() - this.since;
    return this.asked.length ? this.now() - this.asked[0].at : 0;
  }

  look() {
    if (this.socket) {
      const open = this.socket.readyState === WebSocket.OPEN;
      this.set(this.age() > LATE ? "late" : open ? "open" : "opening");
    }
  }

  lost() {
    this.drop();
    if (!this.owner.again()) return this.set("closed");
    this.wait = pause(this.attempts++);
    this.retry = this.now() + this.wait * 1000;
    this.set("waiting");
  }

  drop() {
    const own = this.socket;
    this.socket = null;
    this.asked = [];
    if (!own) return;
    own.close();
    this.owner.gone();
  }

  set(state) {
    if (state === this.state) return;
    this.state = state;
    this.owner.changed();
  }
}
