// The page: what the server told, the elements that show it, and what the user does.

import * as board from "./board.js";
import { Link, TICK } from "./link.js";

const $ = (id) => document.getElementById(id);
const KEY = "tictactoe-session";
const SHOWN = "tictactoe-match";
const RATED = "tictactoe-elo"; // the last rating that was seen, and whose
const TITLE = "Ultimate tic-tac-toe";
const NO_CONNECTION = "No connection.";
const SEARCH_LOST = "The search for an opponent has ended with the connection.";
const SEARCHING = "created match request"; // the server's words: we wait, or have an opponent
const CANCELLED = "cancelled match request";
const NO_SESSION = "session not available";

const matches = new Map(); // id -> the data of its last match_update
const moves = new Map(); // id -> the move that was sent and has no answer, as "subX,subY,x,y"
const changes = new Map(); // id -> what its end did to the rating
let me = null;
let registered = false;
let rating = null;
let change = null; // the last change of the rating: {before, after, of}, `of` matches so far
let ended = null; // id of a match that has ended, until the change of the rating is known
let previous = ""; // type of the message before this one
let friends = [];
let shown = localStorage.getItem(SHOWN); // id of the match to be on the board
let search = ""; // for any opponent: "asked" until it is answered, then "waiting"
let invited = ""; // who was invited last
let pending = null; // the log-in to send when connected
let cursor = [4, 4]; // column and row that have the focus

// --- the connection ---------------------------------------------------------------------------

const address = new URL("./", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const link = new Link(address, {
  open() {
    const id = localStorage.getItem(KEY);
    if (pending) link.send("login", pending);
    else if (id) link.send("reconnect", { id });
  },
  hear(type, data) {
    steadily(() => hear[type]?.(data));
    previous = type;
  },
  gone() {
    if (search) notice(SEARCH_LOST, true);
    setSearch("");
  },
  again() {
    const id = localStorage.getItem(KEY);
    if (pending) notice(NO_CONNECTION, true);
    if (!id) showLogin();
    pending = null;
    return Boolean(id);
  },
  changed: showLink,
});

function showLink() {
  const late = moves.size ? "The server has not confirmed your move yet." : "The server does not answer.";
  const words = {
    opening: "Connecting …",
    late: `${late} Still trying …`,
    waiting: `${NO_CONNECTION} Trying again in ${link.wait} s …`,
  };
  say("link", words[link.state] ?? "");
  $("link").className = link.state === "opening" ? "" : "bad";
}

function send(type, data) {
  const sent = link.send(type, data);
  if (!sent) notice(NO_CONNECTION, true);
  else if (me) notice(""); // what was said of the wish before
  return sent;
}

const hear = {
  login_response(data) {
    pending = null;
    // With a session, that is how a full server answers it: there will be room again.
    if (!data.success) return localStorage.getItem(KEY) ? notice(data.msg, true) : refused(data.msg);
    localStorage.setItem(KEY, data.id);
    enter(data.msg.split(" ").at(-1), data.registered);
    $("login-password").value = "";
  },
  reconnect_response(data) {
    if (data.msg === NO_SESSION) return refused("Please log in.");
    if (!data.success) return notice(data.msg, true); // and it is tried again
    enter(data.user, data.registered);
  },
  elo_update(data) {
    rate(data.elo);
    $("rating").textContent = data.elo === null ? "guest" : `Elo ${data.elo} · rank ${data.rank}`;
    $("ranks").replaceChildren(...data.top_names.map((name, index) => {
      const elo = data.top_elos[index];
      const place = data.top_elos.indexOf(elo) + 1; // equals share it
      const item = row(text("number place", `${place}`), text("grow", name), text("number", `${elo}`));
      item.classList.toggle("own", name === me);
      return item;
    }));
    showMatches();
  },
  friends_update(data) {
    friends = data.friends;
    list("friends", friends, (name) => row(
      text("grow", name), text("number", ""),
      action("Invite", `Invite ${name}`, () => invite(name)),
      action("Remove", `Remove ${name}`, () => send("unfriend_request", { user: name })),
    ), (item, name) => { item.children[1].textContent = `${data.elos[friends.indexOf(name)]}`; });
    showMatches();
  },
  match_update(data) {
    const before = matches.get(data.id);
    const move = moves.get(data.id);
    moves.delete(data.id);
    matches.set(data.id, data);
    if (!before) meet(data);
    else if (!$("notice").className) notice(""); // old news: somebody has moved
    if (data.match_state.game_over && !before?.match_state.game_over) end(data, !before);
    if (move && board.isTurn(data.match_state, me) && !board.mark(data.match_state, ...move.split(","))) {
      notice("The server did not accept this move.", true);
    }
    showMatches();
  },
  match_request_response(data) {
    if (data.msg === CANCELLED) {
      setSearch("");
      notice("You look for an opponent no longer.");
    } else if (data.msg !== SEARCHING) {
      invited = "";
      if (search === "asked") setSearch("");
      if (!data.success) notice(data.msg, true);
    } else if (search === "asked") {
      setSearch("waiting");
    }
  },
  friend_request_response: (data) => notice(data.msg, !data.success),
  unfriend_request_response: (data) => notice(data.msg, !data.success),
};

// --- who is here ------------------------------------------------------------------------------

function enter(name, account) {
  if (name !== me) matches.clear();
  for (const [id, each] of matches) if (!each.match_state.game_over) matches.delete(id); // they follow
  moves.clear();
  [me, registered, invited, link.attempts] = [name, account, "", 0];
  const known = JSON.parse(localStorage.getItem(RATED) ?? "null");
  rating = known?.name === me ? known.elo : null;
  ended = change = null;
  $("name").textContent = me;
  $("friends-card").hidden = !registered;
  for (const [id, hidden] of [["login", true], ["game", false], ["me", false]]) $(id).hidden = hidden;
  if ($("notice").textContent !== SEARCH_LOST) notice("");
  showMatches();
}

function refused(message) {
  localStorage.removeItem(KEY);
  showLogin();
  notice(message, true);
}

function showLogin() {
  me = null;
  show(null);
  matches.clear();
  document.title = TITLE;
  for (const [id, hidden] of [["login", false], ["game", true], ["me", true]]) $(id).hidden = hidden;
  $($("login-name").value ? "login-password" : "login-name").focus();
}

function notice(message, bad = false) {
  $("notice").textContent = message;
  $("notice").className = bad ? "bad" : "";
}

// --- what a match did to the rating -----------------------------------------------------------

// The rating comes in a message of its own: after the end of a match that was played to its end,
// right before that of one that was given up, and at a log-in before all whose end was not seen.

function rate(elo) {
  change = rating === null || elo === null ? null : { before: rating, after: elo, of: 0 };
  rating = elo;
  localStorage.setItem(RATED, JSON.stringify({ name: me, elo }));
  if (ended) blame(ended, change);
  ended = null;
}

function end({ id, ranked, match_state: state }, unseen) {
  if (!ranked || rating === null) return;
  if (unseen) blame(id, change);
  else if (state.player_won || state.is_draw) ended = id;
  else blame(id, previous === "elo_update" ? change : { before: rating, after: rating, of: 0 });
}

function blame(id, change) {
  if (!change) return;
  change.of += 1;
  changes.set(id, change);
}

// --- matches and the board --------------------------------------------------------------------

/** The match on the board: the one that was chosen, or the first one. */
function onBoard() {
  return matches.get(shown) ?? matches.values().next().value;
}

function show(id) {
  shown = id;
  if (id) localStorage.setItem(SHOWN, id);
  else localStorage.removeItem(SHOWN);
}

/** A match not known before: it comes to the board if it was asked for or what is there is over. */
function meet({ id, match_state: state }) {
  const other = board.opponentOf(state, me);
  const begins = state.player_a === me;
  const begun = state.game_over || state.last_move;
  // Who waits will begin; who finds somebody waiting will not, and hears of it before the answer.
  const found = !begun && other !== invited && search === (begins ? "waiting" : "asked");
  if (found) setSearch("");
  const asked = found || (!begun && begins && other === invited);
  if (asked || (!state.game_over && matches.get(shown)?.match_state.game_over)) show(id);
  if (asked) notice(`You play against ${other}.`);
  else if (!begun && !begins) notice(`${other} wants to play with you.`);
}

function setSearch(now) {
  search = now;
  $("searching").hidden = !now;
  $("random").textContent = now ? "Stop looking" : "Any opponent";
}

function showMatches() {
  const data = onBoard();
  $("matches-card").hidden = matches.size < 2;
  list("matches", [...matches.keys()], (id) => {
    const pick = action("", "", () => {
      show(id);
      showMatches();
      $("side-a").scrollIntoView({ block: "nearest" });
    });
    pick.append(text("grow", ""), text("number", ""));
    return row(pick);
  }, (item, id) => {
    const [pick, each] = [item.children[0], matches.get(id)];
    const state = each.match_state;
    pick.className = `pick ${board.isTurn(state, me) ? "mine" : ""}`;
    pick.setAttribute("aria-current", String(each === data));
    const [other, summary] = [board.opponentOf(state, me), board.summary(state, me)];
    pick.setAttribute("aria-label", `${other} ${summary}`);
    pick.children[0].textContent = other;
    pick.children[1].textContent = summary;
  });
  $("empty").hidden = Boolean(data);
  $("match").hidden = !data;
  const turns = [...matches.values()].filter((each) => board.isTurn(each.match_state, me)).length;
  document.title = turns ? `(${turns}) ${TITLE}` : TITLE;
  if (data) showBoard(data);
}

function showBoard({ id, match_state: state, ranked }) {
  for (const [side, key] of [["side-a", "player_a"], ["side-b", "player_b"]]) {
    const turn = state[key] === (state.game_over ? state.player_won : state.active_player);
    $(side).className = `side ${side.at(-1)} ${turn ? "turn" : ""}`;
    $(side).textContent = state[key] === me ? `${me} (you)` : state[key];
  }
  const mine = board.isTurn(state, me) && !moves.has(id);
  say("turn", moves.has(id) ? "Sending your move …" : board.headline(state, me));
  say("outcome", state.game_over ? board.outcome(changes.get(id), ranked) : "");
  say("told", board.story(state));
  $("turn").className = mine || state.player_won === me ? "mine" : "";
  const other = board.opponentOf(state, me);
  $("befriend").hidden = !registered || !ranked || friends.includes(other);
  $("again").hidden = !state.game_over;
  $("end").textContent = board.ending(state, me, ranked).text;
  showTime();
  $("board").className = `${state.player_a === me ? "as-a" : "as-b"} ${mine ? "mine" : ""}`;
  const [open, won] = [board.openSubgrids(state), board.winningLine(state)];
  for (const [index, sub] of subs.entries()) {
    const [x, y] = [index % 3, Math.floor(index / 3)];
    const owner = state.global_field[y][x];
    sub.className = `sub ${["", "won a", "won b", "drawn"][owner]}`;
    sub.classList.toggle("open", open.has(`${x},${y}`));
    sub.classList.toggle("line", won.has(`${x},${y}`));
    const taken = ["", `, won by ${state.player_a}`, `, won by ${state.player_b}`, ", drawn"][owner];
    sub.setAttribute("aria-label", `${board.place(x, y)} board${taken}`);
  }
  for (const [index, cell] of cells.entries()) showCell(cell, id, state, cellAt(index));
  if (mine) reveal(open);
}

function showCell(button, id, state, at) {
  const [subX, subY, x, y] = at;
  const mark = board.mark(state, ...at);
  const sent = moves.get(id) === String(at);
  const can = !moves.has(id) && board.canPlay(state, me, ...at);
  const last = board.isLast(state, ...at);
  button.className = `cell ${["", "a", "b"][mark]}`;
  button.classList.toggle("can", can);
  button.classList.toggle("last", last);
  button.classList.toggle("sent", sent);
  button.textContent = ["", "✕", "◯"][mark];
  const owner = ["empty", state.player_a, state.player_b][mark];
  const more = sent ? ", your move is being sent" : can ? ", free to play" : last ? ", last move" : "";
  button.setAttribute("aria-label", `row ${subY * 3 + y + 1}, column ${subX * 3 + x + 1}: ${owner}${more}`);
  button.setAttribute("aria-disabled", String(!can));
}

let revealed = ""; // the boards that were brought into view last

/** On a narrow screen the board is wider than that: bring the board of this move into view. */
function reveal(open) {
  const now = `${shown} ${[...open]}`;
  if (open.size !== 1 || now === revealed) return;
  revealed = now;
  const [x, y] = [...open][0].split(",").map(Number);
  const [frame, sub] = [$("frame"), subs[y * 3 + x]];
  frame.scrollTo?.({ left: sub.offsetLeft + (sub.offsetWidth - frame.clientWidth) / 2 });
}

function play(at) {
  const { id, match_state: state } = onBoard();
  if (moves.has(id) || !board.canPlay(state, me, ...at)) return;
  const [sub_x, sub_y, x, y] = at;
  if (!send("move", { id, sub_x, sub_y, x, y })) return;
  moves.set(id, String(at));
  showMatches();
}

// The cells are made once, so that a message never takes one from under a finger or the focus.

/** Cells are counted by small board, then inside it: subX, subY, x, y of one. */
function cellAt(index) {
  const [sub, inside] = [Math.floor(index / 9), index % 9];
  return [sub % 3, Math.floor(sub / 3), inside % 3, Math.floor(inside / 3)];
}

const cells = Array.from({ length: 81 }, (_, index) => {
  const [subX, subY, x, y] = cellAt(index);
  const button = action("", "", () => play([subX, subY, x, y]));
  button.onfocus = () => { cursor = [subX * 3 + x, subY * 3 + y]; rove(); };
  return button;
});

const subs = Array.from({ length: 9 }, (_, index) => {
  const sub = document.createElement("div");
  sub.setAttribute("role", "group");
  sub.append(...cells.slice(index * 9, index * 9 + 9));
  return sub;
});

$("board").append(...subs);
rove();

function cellAtCursor() {
  const [column, line] = cursor;
  return cells[(Math.floor(line / 3) * 3 + Math.floor(column / 3)) * 9 + (line % 3) * 3 + (column % 3)];
}

/** The tab key finds one cell of the board: the one that had the focus last. */
function rove() {
  for (const cell of cells) cell.tabIndex = -1;
  cellAtCursor().tabIndex = 0;
}

function showTime() {
  const data = onBoard();
  if (!data) return;
  const left = board.timeLeft(data.revoke_time_utc - Date.now() / 1000);
  $("left").textContent = data.match_state.game_over ? "" : `${left} left${data.ranked ? "" : " · unranked"}`;
}

// --- small elements ---------------------------------------------------------------------------

function text(className, content) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = content;
  return span;
}

function row(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

function action(label, description, call) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = label;
  button.setAttribute("aria-label", description);
  button.onclick = call;
  return button;
}

/** Put up words that are read out: only if they are new. */
function say(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

const rows = { friends: new Map(), matches: new Map() }; // key -> element

/** Show a list; what stays in it keeps its element, and so the focus. */
function list(id, keys, make, fill) {
  const [parent, old] = [$(id), rows[id]];
  for (const [key, item] of old) {
    if (keys.includes(key)) continue;
    item.remove();
    old.delete(key);
  }
  for (const [place, key] of keys.entries()) {
    if (!old.has(key)) old.set(key, make(key));
    const item = old.get(key);
    fill(item, key);
    if (parent.children[place] !== item) parent.insertBefore(item, parent.children[place] ?? null);
  }
}

/** Change the page; where the focus was is it afterwards, or as near as possible. */
function steadily(change) {
  const had = document.activeElement;
  const near = had?.closest?.("li, #match, #game");
  const [parent, field] = [near?.parentElement, near?.closest(".card")?.querySelector("input")];
  const [place, index] = [places(parent, near), places(near, had)];
  change();
  if (!had || had === document.body || isThere(had)) return;
  const next = near?.localName === "li" && (parent.children[place] ?? parent.children[place - 1]);
  const wanted = [next && next.children[index], field, cellAtCursor(), $("random"), $("login-name")];
  wanted.find((each) => each && isThere(each))?.focus({ preventScroll: true });
}

function places(parent, child) {
  return parent ? [...parent.children].indexOf(child) : -1;
}

function isThere(element) {
  return element.getClientRects().length > 0;
}

// --- what the user does -----------------------------------------------------------------------

$("login-form").onsubmit = (event) => {
  event.preventDefault();
  localStorage.removeItem(KEY);
  pending = { name: $("login-name").value, pw: $("login-password").value };
  notice("");
  link.connect();
};
$("logout").onclick = () => {
  localStorage.removeItem(KEY);
  link.close();
  showLogin();
  notice("");
};
$("random").onclick = () => {
  if (search) send("cancel_request", {});
  else if (send("match_request", { player: null })) setSearch("asked");
};
$("invite-form").onsubmit = (event) => {
  event.preventDefault();
  invite(take("invite-name"));
};
$("friend-form").onsubmit = (event) => {
  event.preventDefault();
  send("friend_request", { user: take("friend-name") });
};
$("befriend").onclick = () => {
  send("friend_request", { user: board.opponentOf(onBoard().match_state, me) });
};
$("again").onclick = () => invite(board.opponentOf(onBoard().match_state, me));
$("end").onclick = () => {
  const { id, match_state: state, ranked } = onBoard();
  const { ask } = board.ending(state, me, ranked);
  if (ask && !confirm(ask)) return;
  if (state.game_over) {
    steadily(() => {
      matches.delete(id);
      show(null);
      notice("");
      showMatches();
    });
  } else {
    send("end_match", { id });
  }
};

function invite(name) {
  invited = name.toLowerCase();
  send("match_request", { player: name });
}

function take(id) {
  const typed = $(id).value.trim();
  $(id).value = "";
  return typed;
}

$("board").onkeydown = (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  cursor = cursor.map((at, axis) => Math.min(8, Math.max(0, at + step[axis])));
  cellAtCursor().focus();
};
for (const event of ["online", "focus"]) addEventListener(event, () => link.hurry());
setInterval(() => link.tick(Boolean(me)), TICK);
setInterval(showTime, 20000);

setSearch("");
if (localStorage.getItem(KEY)) link.connect();
else showLogin();
