// What can be said about a match without a page: pure functions of what the server sent.

/** What is in a cell: 0 empty, 1 player A, 2 player B. */
export function mark(state, subX, subY, x, y) {
  return state.complete_field[subY * 3 + y][subX * 3 + x];
}

/** The small boards in which the next move may be, as "subX,subY". */
export function openSubgrids(state) {
  const open = new Set();
  if (state.game_over) return open;
  for (let y = 0; y < 3; y++) {
    for (let x = 0; x < 3; x++) if (state.global_field[y][x] === 0) open.add(`${x},${y}`);
  }
  const last = state.last_move;
  const forced = last && `${Number(last.x)},${Number(last.y)}`;
  return forced && open.has(forced) ? new Set([forced]) : open;
}

/** Whether it is this player's turn. */
export function isTurn(state, me) {
  return !state.game_over && state.active_player === me;
}

/** Whether a player may mark this cell now. */
export function canPlay(state, me, subX, subY, x, y) {
  return isTurn(state, me) && openSubgrids(state).has(`${subX},${subY}`)
    && mark(state, subX, subY, x, y) === 0;
}

/** Whether it was the last move. */
export function isLast(state, subX, subY, x, y) {
  const last = state.last_move;
  return Boolean(last) && Number(last.sub_x) === subX && Number(last.sub_y) === subY
    && Number(last.x) === x && Number(last.y) === y;
}

/** The small boards that won the game, as "subX,subY"; none if no player has three in a row. */
export function winningLine(state) {
  for (const line of LINES) {
    const [first, ...others] = line.map(([x, y]) => state.global_field[y][x]);
    const taken = first === 1 || first === 2;
    if (taken && others.every((other) => other === first)) return new Set(line.map(String));
  }
  return new Set();
}

const LINES = [
  ...[0, 1, 2].flatMap((n) => [[[n, 0], [n, 1], [n, 2]], [[0, n], [1, n], [2, n]]]),
  [[0, 0], [1, 1], [2, 2]],
  [[2, 0], [1, 1], [0, 2]],
];

/** The other player's name. */
export function opponentOf(state, me) {
  return state.player_a === me ? state.player_b : state.player_a;
}

/** How many marks each player has, as [A, B]. */
export function marks(state) {
  const cells = state.complete_field.flat();
  return [1, 2].map((player) => cells.filter((cell) => cell === player).length);
}

/** What stands above the board. */
export function headline(state, me) {
  if (state.player_won) return state.player_won === me ? "You have won!" : `${state.player_won} has won.`;
  if (state.game_over) return state.is_draw ? "A draw." : "The match was ended.";
  if (!isTurn(state, me)) return `Waiting for ${opponentOf(state, me)}`;
  const open = openSubgrids(state);
  return open.size === 1 && state.last_move ? "Your turn, in the marked board" : "Your turn, in any marked board";
}

/** The same in the list of matches. */
export function summary(state, me) {
  if (state.player_won) return state.player_won === me ? "won" : "lost";
  if (state.game_over) return state.is_draw ? "draw" : "ended";
  return isTurn(state, me) ? "your turn" : "waiting";
}

/** Where something is in three by three. */
export function place(x, y) {
  return PLACES[y * 3 + x];
}

const PLACES = [
  "top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right",
];

/** What happened last, and where it may go on, for those who do not see the board. */
export function story(state) {
  const last = state.last_move;
  if (!last) return "";
  const mover = mark(state, Number(last.sub_x), Number(last.sub_y), Number(last.x), Number(last.y));
  const who = [state.player_a, state.player_b][mover - 1];
  const at = `${place(Number(last.x), Number(last.y))} of the ${place(Number(last.sub_x), Number(last.sub_y))} board`;
  const open = openSubgrids(state);
  const next = open.size === 1 ? ` Next: the ${place(...[...open][0].split(",").map(Number))} board.` : "";
  return `${who} played ${at}.${next}`;
}

/** What ending the match means now: the button's text, and what to ask before. */
export function ending(state, me, ranked) {
  if (state.game_over) return { text: "Close", ask: "" };
  const [a, b] = marks(state);
  const own = state.player_a === me ? a : b;
  if (a && b) {
    return { text: "Give up", ask: ranked ? "Give up? The match counts as lost." : "Give up?" };
  }
  return { text: own ? "Take back" : "Decline", ask: "" };
}

/** Seconds as words: "6 d 23 h", "3 h 5 min", "4 min". */
export function timeLeft(seconds) {
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const [d, h, m] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  if (d) return `${d} d ${h} h`;
  return h ? `${h} h ${m} min` : `${m} min`;
}

/** What the end of a match did to the rating: {before, after, of}, `of` matches together. */
export function outcome(change, ranked) {
  if (!ranked) return "Not ranked.";
  if (!change) return "";
  const { before, after, of } = change;
  const difference = after - before;
  const sign = difference > 0 ? "+" : "−";
  const words = difference ? `Elo ${before} → ${after} (${sign}${Math.abs(difference)})` : `Elo ${after}, unchanged`;
  return of > 1 ? `${words}, in ${of} matches` : words;
}
