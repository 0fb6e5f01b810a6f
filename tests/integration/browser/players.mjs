// Players with real browsers: each scenario is what some of them do, and what they must see.
// Arguments: scenario, address of the page, what the scenario needs to know as JSON.
// The environment's CHROMIUM is the browser.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const LIMIT = 100_000; // ms that a scenario may take on a busy machine
const PATIENCE = 30_000; // ms until somebody must see something
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" };
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const [scenario, address, told] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The smallest side of a cell, and how bright the cells of the open boards are: free and taken. */
function measure() {
  const bright = (cell) => getComputedStyle(cell).backgroundColor.match(/\d+/g).map(Number).slice(0, 3)
    .map((value) => ((value / 255 + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const all = (selector) => [...document.querySelectorAll(`#board ${selector}`)];
  const sides = all(".cell").map((cell) => cell.getBoundingClientRect()).flatMap(({ width, height }) => [width, height]);
  return {
    side: Math.min(...sides),
    free: Math.min(...all(".open .can").map(bright)),
    taken: Math.max(...all(".open .cell:not(.can)").map(bright)),
  };
}

/** What is on the board, as far as it matters. */
function readBoard() {
  const all = (selector) => [...document.querySelectorAll(`#board ${selector}`)];
  const at = (cell) => cell.getAttribute("aria-label").replace(/:.*/, "");
  const subs = all(".sub");
  return {
    turn: document.querySelector("#turn").textContent,
    open: subs.filter((sub) => sub.matches(".open")).map((sub) => subs.indexOf(sub)),
    free: all(".can").map(at).sort(),
    last: all(".last").map(at),
    marks: all(".cell").filter((cell) => cell.textContent).length,
  };
}

class Player {
  constructor(name, page) {
    Object.assign(this, { name, page, dialogs: [], mistakes: [] });
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => this.mistakes.push(error.message));
    page.on("dialog", (dialog) => {
      this.dialogs.push(dialog.message());
      dialog.accept();
    });
  }

  async logIn(password = "secret") {
    await this.page.fill("#login-name", this.name);
    await this.page.fill("#login-password", password);
    await this.page.click("#login-form button");
  }

  /** Wait until a question about the page has this answer. */
  async sees(wanted, ask, ...more) {
    const end = Date.now() + PATIENCE;
    let seen;
    do {
      if (seen !== undefined) await this.page.waitForTimeout(20);
      seen = await this.page.evaluate(ask, ...more);
    } while (JSON.stringify(seen) !== JSON.stringify(wanted) && Date.now() < end);
    assert.deepEqual(seen, wanted, `what ${this.name} sees`);
  }

  /** Wait until this element is visible and has this text. */
  reads(selector, wanted) {
    return this.sees(wanted, (one) => document.querySelector(one).innerText.replaceAll(/\s+/g, " ").trim(), selector);
  }

  readsAll(selector, wanted) {
    const ask = (one) => [...document.querySelectorAll(one)].map((each) => each.innerText.replaceAll(/\s+/g, " ").trim());
    return this.sees(wanted, ask, selector);
  }

  hides(selector) {
    return this.sees(null, (one) => document.querySelector(one).offsetParent && "shown", selector);
  }

  cell(label) {
    return this.page.locator(`#board [aria-label^="${label}:"]`);
  }

  async invite(name) {
    await this.page.fill("#invite-name", name);
    await this.page.click("#invite-form button");
  }

  /** Cells are large enough for a finger, and the taken ones are no brighter than the others. */
  async hasFairCells() {
    const { side, free, taken } = await this.page.evaluate(measure);
    assert.ok(side >= 44, `a cell has ${side} px`);
    assert.ok(!(taken > free), `taken cells ${taken} are brighter than free ones ${free}`);
  }

  /** Nothing is cut off at the side, and nothing went wrong inside. */
  async isWell() {
    await this.sees(true, () => document.documentElement.scrollWidth <= innerWidth);
    assert.deepEqual(this.mistakes, []);
  }
}

const scenarios = {
  /** Games from the first move to the last, each begun by another player. */
  async games(open, { names, games }) {
    const players = [await open(names[0]), await open(names[1], PHONE)];
    for (const player of players) await player.logIn();
    for (const player of players) await player.reads("#rating", "Elo 1000 · rank 1");
    await players[0].invite(names[1].toUpperCase());
    for (const [number, { steps, ratings, outcomes, ranks, line }] of games.entries()) {
      const order = number % 2 ? players.toReversed() : players;
      if (number) await order[0].page.click("#again");
      await order[0].reads("#notice", `You play against ${order[1].name}.`);
      await order[1].reads("#notice", `${order[0].name} wants to play with you.`);
      for (const [count, { board, turns, move }] of steps.entries()) {
        for (const [index, player] of order.entries()) {
          const mine = index === count % 2 && move;
          await player.sees({ turn: turns[index], ...board, free: mine ? board.free : [] }, readBoard);
        }
        if (count === 8) { // a reload in the middle changes nothing
          await order[1].page.reload();
          await order[1].sees({ turn: turns[1], ...board, free: count % 2 ? board.free : [] }, readBoard);
        }
        // A real click waits until nothing moves any more: one game of those is enough.
        if (number === 0 && board.free.length % 9) await order[count % 2].hasFairCells();
        const cell = move && order[count % 2].cell(move);
        if (cell) await (number ? cell.dispatchEvent("click") : cell.click());
      }
      for (const player of players) {
        await player.reads("#rating", ratings[player.name]);
        await player.reads("#outcome", outcomes[player.name]);
        await player.readsAll("#ranks li", ranks);
        const lineOf = () => [...document.querySelectorAll(".sub")].flatMap((sub, n) => (sub.matches(".line") ? [n] : []));
        await player.sees(line, lineOf);
        await player.isWell();
      }
    }
  },

  /** Guests, friends, opponents of any kind, several matches, and what is refused. */
  async lobby(open) {
    const [ann, bob] = [await open("ann"), await open("bob", PHONE)];
    await ann.logIn();
    await ann.reads("#rating", "Elo 1000 · rank 1");
    await ann.page.click("#logout");
    await ann.logIn("wrong");
    await ann.reads("#notice", "invalid password for user ann");
    await ann.logIn();
    await ann.reads("#name", "ann");
    await bob.logIn("");
    await bob.reads("#rating", "guest");
    await bob.hides("#friends-card");

    await ann.hides("#searching");
    for (let time = 0; time < 2; time++) { // a search that is cancelled, and another one
      await ann.page.click("#random");
      await ann.reads("#searching", "Looking for an opponent …");
      await ann.reads("#random", "Stop looking");
      if (time) break;
      await ann.page.click("#random");
      await ann.reads("#notice", "You look for an opponent no longer.");
      await ann.hides("#searching");
    }
    await bob.page.click("#random");
    for (const [player, other] of [[ann, "bob"], [bob, "ann"]]) {
      await player.reads("#notice", `You play against ${other}.`);
      await player.reads("#random", "Any opponent");
      await player.hides("#searching");
      await player.sees(true, () => document.querySelector("#left").textContent.endsWith("left · unranked"));
    }
    await bob.reads("#turn", "Waiting for ann");
    await bob.isWell();

    const eve = await open("eve", { reducedMotion: "reduce" });
    await eve.logIn();
    await ann.invite("nobody");
    await ann.reads("#notice", "user nobody not found :(");
    await ann.invite("bob");
    await ann.reads("#notice", "you are already plaing against bob");
    await ann.page.fill("#friend-name", "Eve");
    await ann.page.click("#friend-form button");
    await ann.readsAll("#friends li", ["eve 1000 Invite Remove"]);
    await ann.page.click("[aria-label='Invite eve']");
    await ann.readsAll("#matches li", ["bob your turn", "eve your turn"]);
    await eve.reads("#notice", "ann wants to play with you.");
    await ann.hides("#befriend");
    await eve.page.click("#befriend");
    await eve.readsAll("#friends li", ["ann 1000 Invite Remove"]);
    await ann.page.focus("[aria-label='Remove eve']");
    await ann.page.keyboard.press("Enter");
    await ann.readsAll("#friends li", []);
    await ann.sees("friend-name", () => document.activeElement.id || document.activeElement.textContent);

    // The keys: to the board, over it, and a move that leaves the focus where it is.
    await ann.page.focus("#end");
    await ann.page.keyboard.press("Shift+Tab");
    await ann.page.keyboard.press("Shift+Tab");
    const focus = () => document.activeElement.getAttribute("aria-label");
    await ann.sees("row 5, column 5: empty, free to play", focus);
    for (const key of ["ArrowUp", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowRight"]) {
      await ann.page.keyboard.press(key);
    }
    await ann.sees("row 4, column 6: empty, free to play", focus);
    await ann.sees(true, () => parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2);
    await ann.page.keyboard.press("Enter");
    await ann.sees("row 4, column 6: ann, last move", focus);
    await ann.reads("#told", "ann played top right of the centre board. Next: the top right board.");
    await eve.reads("#turn", "Your turn, in the marked board");
    await eve.sees("none", () => getComputedStyle(document.querySelector(".last"), "::before").animationName);
    // What comes takes the focus from nobody.
    await ann.page.focus("#matches li:last-child button");
    await eve.cell("row 1, column 9").click();
    await ann.reads("#end", "Give up");
    await ann.sees("eve your turn", focus);
    await ann.page.click("#end");
    assert.deepEqual(ann.dialogs, ["Give up? The match counts as lost."]);
    await ann.readsAll("#matches li", ["bob your turn", "eve ended"]);
    await ann.reads("#rating", "Elo 990 · rank 2");
    await ann.reads("#outcome", "Elo 1000 → 990 (−10)");
    await eve.reads("#outcome", "Elo 1000 → 1010 (+10)");
    await eve.reads("#rating", "Elo 1010 · rank 1");
    await ann.page.click("#end");
    await ann.hides("#matches");
    await ann.reads("#side-b", "bob");
    for (const player of [ann, bob, eve]) await player.isWell();
  },

  /** The server goes and comes back: so do the players, without doing anything. */
  async outage(open) {
    const [ann, bob, eve] = [await open("ann"), await open("bob"), await open("eve")];
    for (const player of [ann, bob, eve]) {
      await player.logIn();
      await player.reads("#name", player.name);
    }
    await ann.invite("bob");
    await bob.reads("#turn", "Waiting for ann");
    await eve.page.click("#random");
    await eve.reads("#random", "Stop looking");
    console.log("stop");
    await lines.next();
    for (const player of [ann, bob, eve]) {
      await player.sees(true, () => document.querySelector("#link").textContent.startsWith("No connection."));
    }
    console.log("start");
    await lines.next();
    for (const player of [ann, bob, eve]) await player.reads("#link", "");
    await eve.reads("#notice", "The search for an opponent has ended with the connection.");
    await eve.reads("#random", "Any opponent");
    await bob.reads("#notice", "ann wants to play with you.");
    await ann.cell("row 1, column 1").click();
    await bob.reads("#turn", "Your turn, in the marked board");
    // What happened to a match while its player was away is told when it is back.
    await bob.cell("row 1, column 2").click();
    await ann.reads("#end", "Give up");
    await bob.page.goto("about:blank");
    await ann.page.click("#end");
    await ann.reads("#outcome", "Elo 1000 → 990 (−10)");
    await bob.page.goto(address);
    await bob.reads("#outcome", "Elo 1000 → 1010 (+10)");
    for (const player of [ann, bob, eve]) await player.isWell();
  },

  /** The server says nothing for a while, though no connection is lost. */
  async silence(open) {
    const [ann, bob] = [await open("ann"), await open("bob")];
    for (const player of [ann, bob]) {
      await player.logIn();
      await player.reads("#name", player.name);
    }
    await ann.invite("bob");
    await bob.reads("#turn", "Waiting for ann");
    console.log("freeze");
    await lines.next();
    await ann.cell("row 1, column 1").click();
    // At once, so that there is no doubt whether it was a click.
    const label = () => document.querySelector(".sent").getAttribute("aria-label");
    assert.equal(await ann.page.evaluate(label), "row 1, column 1: empty, your move is being sent");
    assert.equal(await ann.page.evaluate(() => document.querySelectorAll(".can").length), 0);
    await ann.reads("#turn", "Sending your move …");
    await ann.reads("#link", "The server has not confirmed your move yet. Still trying …");
    await bob.reads("#link", "The server does not answer. Still trying …"); // who has done nothing
    console.log("thaw");
    await lines.next();
    for (const player of [ann, bob]) await player.reads("#link", "");
    await bob.reads("#turn", "Your turn, in the marked board");
    await ann.sees(0, () => document.querySelectorAll(".sent").length);
    await ann.reads("#turn", "Waiting for bob");
    for (const player of [ann, bob]) await player.isWell();
  },
};

const tooLate = setTimeout(() => {
  console.error(`${scenario} took too long`);
  process.exit(1);
}, LIMIT);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, timeout: PATIENCE });
const open = async (name, options = {}) => {
  const page = await (await browser.newContext(options)).newPage();
  await page.goto(address);
  return new Player(name, page);
};
try {
  await scenarios[scenario](open, JSON.parse(told));
  console.log("done");
} finally {
  await browser.close();
  clearTimeout(tooLate);
}
process.exit();
