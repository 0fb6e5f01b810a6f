// The page: one WebSocket, what it told, and the elements that show it.

import * as board from "./board.js";

const $ = (id) => document.getElementById(id);
const KEY = "tictactoe-session";
const SHOWN = "tictactoe-match";
const TITLE = "Ultimate tic-tac-toe";
const CONNECTING = "Connecting …";
const SEARCHING = "created match request"; // the server's words: we wait, or have an opponent
const NO_SESSION = "session not available";

const matches = new Map(); // id -> the data of its last match_update
let socket = null;
let me = null;
let registered = false;
let friends = [];
let shown = localStorage.getItem(SHOWN); // id of the match to be on the board
let search = ""; // for any opponent: "asked" until it is answered, then "waiting"
let invited = ""; // who was invited last
let pending = null; // the log-in to send when connected
let attempts = 0;
let cursor = [4, 4]; // column and row that have the focus

// --- the connection ---------------------------------------------------------------------------

function connect() {
  socket?.close();
  const address = new URL("./", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const own = (socket = new WebSocket(address));
  own.onopen = () => {
    if (own !== socket) return;
    const id = localStorage.getItem(KEY);
    if (pending) send("login", pending);
    else if (id) send("reconnect", { id });
    pending = null;
  };
  own.onmessage = (event) => {
    const { type, data } = JSON.parse(event.data);
    if (own === socket) hear[type]?.(data);
  };
  own.onclose = () => {
    if (own !== socket) return;
    socket = null;
    if (!localStorage.getItem(KEY)) {
      if ($("notice").textContent === CONNECTING) notice("No connection.", true);
      return showLogin();
    }
    const wait = board.pause(attempts++);
    notice(`No connection. Trying again in ${wait} s …`, true);
    setTimeout(comeBack, wait * 1000);
  };
}

function comeBack() {
  if (!socket && localStorage.getItem(KEY)) connect();
}

function send(type, data) {
  const open = socket?.readyState === WebSocket.OPEN;
  if (open) socket.send(JSON.stringify({ type, data }));
  if (!open) notice("No connection.", true);
  else if (me) notice(""); // what was said of the wish before
  return open;
}

const hear = {
  login_response(data) {
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
    $("rating").textContent = data.elo === null ? "guest" : `Elo ${data.elo} · rank ${data.rank}`;
    list("ranks", data.top_names.map((name, index) => {
      const elo = data.top_elos[index];
      const place = data.top_elos.indexOf(elo) + 1; // equals share it
      const item = row(text("number place", `${place}`), text("grow", name), text("number", `${elo}`));
      item.classList.toggle("own", name === me);
      return item;
    }));
  },
  friends_update(data) {
    friends = data.friends;
    list("friends", friends.map((name, place) => row(
      text("grow", name), text("number", `${data.elos[place]}`),
      action("Invite", `Invite ${name}`, () => invite(name)),
      action("Remove", `Remove ${name}`, () => send("unfriend_request", { user: name })),
    )));
    showMatches();
  },
  match_update(data) {
    const known = matches.has(data.id);
    matches.set(data.id, data);
    if (!known) meet(data);
    else if (!$("notice").className) notice(""); // old news: somebody has moved
    showMatches();
  },
  match_request_response(data) {
    if (data.msg !== SEARCHING) {
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
  [me, registered, attempts, invited] = [name, account, 0, ""];
  matches.clear(); // what is still there follows
  setSearch("");
  $("name").textContent = me;
  $("friends-card").hidden = !registered;
  for (const [id, hidden] of [["login", true], ["game", false], ["me", false]]) $(id).hidden = hidden;
  notice("");
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
  if (asked || matches.get(shown)?.match_state.game_over) show(id);
  if (asked) notice(`You play against ${other}.`);
  else if (!begun && !begins) notice(`${other} wants to play with you.`);
}

function setSearch(now) {
  search = now;
  $("random").textContent = now ? "Looking for anybody …" : "Any opponent";
  $("random").setAttribute("aria-disabled", String(Boolean(now)));
}

function showMatches() {
  const data = onBoard();
  $("matches").hidden = matches.size < 2;
  list("matches", [...matches.values()].map((each) => {
    const state = each.match_state;
    const pick = action("", "", () => { show(each.id); showMatches(); });
    pick.className = `pick ${board.isTurn(state, me) ? "mine" : ""}`;
    pick.setAttribute("aria-current", String(each === data));
    const [other, summary] = [board.opponentOf(state, me), board.summary(state, me)];
    pick.setAttribute("aria-label", `${other}: ${summary}`);
    pick.append(text("", other), text("number", summary));
    return row(pick);
  }));
  $("empty").hidden = Boolean(data);
  $("match").hidden = !data;
  const turns = [...matches.values()].filter((each) => board.isTurn(each.match_state, me)).length;
  document.title = turns ? `(${turns}) ${TITLE}` : TITLE;
  if (data) showBoard(data);
}

function showBoard({ match_state: state, ranked }) {
  for (const [id, key] of [["side-a", "player_a"], ["side-b", "player_b"]]) {
    const turn = state[key] === (state.game_over ? state.player_won : state.active_player);
    $(id).className = `side ${id.at(-1)} ${turn ? "turn" : ""}`;
    $(id).textContent = state[key] === me ? `${me} (you)` : state[key];
  }
  say("turn", board.headline(state, me));
  say("told", board.story(state));
  const mine = board.isTurn(state, me);
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
  for (const [index, cell] of cells.entries()) showCell(cell, state, ...cellAt(index));
}

function showCell(button, state, subX, subY, x, y) {
  const mark = board.mark(state, subX, subY, x, y);
  const can = board.canPlay(state, me, subX, subY, x, y);
  const last = board.isLast(state, subX, subY, x, y);
  button.className = `cell ${["", "a", "b"][mark]}`;
  button.classList.toggle("can", can);
  button.classList.toggle("last", last);
  button.textContent = ["", "✕", "◯"][mark];
  const owner = ["empty", state.player_a, state.player_b][mark];
  const more = can ? ", free to play" : last ? ", last move" : "";
  button.setAttribute("aria-label", `row ${subY * 3 + y + 1}, column ${subX * 3 + x + 1}: ${owner}${more}`);
  button.setAttribute("aria-disabled", String(!can));
}

// The cells are made once, so that a message never takes one from under a finger or the focus.

/** Cells are counted by small board, then inside it: subX, subY, x, y of one. */
function cellAt(index) {
  const [sub, inside] = [Math.floor(index / 9), index % 9];
  return [sub % 3, Math.floor(sub / 3), inside % 3, Math.floor(inside / 3)];
}

const cells = Array.from({ length: 81 }, (_, index) => {
  const [subX, subY, x, y] = cellAt(index);
  const button = action("", "", () => {
    const { id, match_state: state } = onBoard();
    if (board.canPlay(state, me, subX, subY, x, y)) send("move", { id, sub_x: subX, sub_y: subY, x, y });
  });
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

function list(id, items) {
  $(id).replaceChildren(...(items.length ? items : [row(text("number", "none yet"))]));
}

// --- what the user does -----------------------------------------------------------------------

$("login-form").onsubmit = (event) => {
  event.preventDefault();
  localStorage.removeItem(KEY);
  pending = { name: $("login-name").value, pw: $("login-password").value };
  notice(CONNECTING);
  connect();
};
$("logout").onclick = () => {
  localStorage.removeItem(KEY);
  notice("");
  if (socket) socket.close();
  else showLogin();
};
$("random").onclick = () => {
  if (!search && send("match_request", { player: null })) setSearch("asked");
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
    matches.delete(id);
    show(null);
    notice("");
    showMatches();
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
for (const event of ["online", "focus"]) addEventListener(event, comeBack);
setInterval(showTime, 20000);

if (localStorage.getItem(KEY)) connect();
else showLogin();
