/** The page: tabs, the source, the connection; it puts the parts together and holds nothing else. */

import { readPlace, writePlace } from "./address.js";
import * as api from "./api.js";
import { Browser } from "./browse.js";
import { Channel } from "./channel.js";
import { byId, el, setText } from "./dom.js";
import { Held } from "./keys.js";
import { MomentDialog } from "./moment.js";
import { PlayView } from "./play.js";
import { fail, say, settle, shown } from "./status.js";
import { themeToggle } from "./theme.js";
import { learnKeyboard, shortTitle } from "./words.js";

/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").Moment} Moment */

/** @param {import("./types.js").About} about */
async function run(about) {
  const { sources } = about;
  const place = readPlace();
  const channel = new Channel();
  /** @type {"play" | "browse"} */
  let tab = place.tab ?? about.opens;
  let source = sources.find(({ name }) => name === place.source) ?? sources[0];
  let notice = !place.source || source.name === place.source ? "" : `There is no source "${place.source}" here. `;

  const moment = new MomentDialog({
    start: (from, at) => playFrom(from, at),
    browse: (from, at) => look(from, at),
  });
  const view = new PlayView(channel, new Held(), (from, at) => {
    view.player.pause();
    moment.open(from, at);
  });
  const browser = new Browser(sources, { play: playFrom, open: (from, at) => moment.open(from, at) });

  const remember = () => {
    const { player } = view;
    const played = player.source?.name === source.name;
    writePlace({
      tab,
      source: source.name,
      real: played ? player.real : place.real,
      fps: player.fps,
      dreams: played ? player.dreams : place.dreams,
      start: played ? player.start : place.start,
      at: browser.source === source ? browser.at : place.at,
    });
  };
  view.addEventListener("moved", remember);
  browser.addEventListener("moved", remember);

  /** Go to a tab, with the source that is chosen. @param {"play" | "browse"} to @param {Moment | null} [at] */
  async function show(to, at) {
    tab = to;
    settle();
    const shows = source.frame && (to === "browse" || source.playable);
    for (const name of ["play", "browse"]) {
      byId(`view-${name}`).hidden = name !== to || !shows; // of what cannot be shown, only the reason is
      byId(`tab-${name}`).setAttribute("aria-selected", String(name === to));
      byId(`tab-${name}`).tabIndex = name === to ? 0 : -1;
    }
    byId("source").value = source.name;
    document.title = `${source.title} · memworld`;
    remember();
    const told = notice;
    notice = "";
    if (!shows || to === "browse") {
      view.player.pause();
      say(told);
    }
    if (!shows) return refuse(to);
    if (to === "browse") return browser.show(source, at ?? (browser.source === source ? browser.at : undefined));
    const { player } = view;
    view.notice = told;
    if (player.source !== source) await view.open(source, place.dreams, at ?? place.start, place.real);
    else if (at && !player.live) await view.open(source, player.dreams, at, player.real);
  }

  /** Say why the source cannot be shown in a tab, and offer one that can. @param {"play" | "browse"} to */
  function refuse(to) {
    const plays = to === "play";
    const other = sources.find(({ playable, frame }) => (plays ? playable : frame));
    const what = `${source.title} cannot be ${source.frame ? "played" : "opened"}`;
    const act = () => other && (plays ? playFrom(other, null) : look(other, { episode: 0, step: 0 }));
    const remedy = other && { label: `${plays ? "Play" : "Browse"} ${shortTitle(other)}`, act };
    fail(`${what}: ${source.why_not ?? "it holds no memory"}`, remedy, true);
  }

  /** @param {Source} from @param {Moment | null} at null draws a start */
  function playFrom(from, at) {
    const open = view.player.source === from && view.player.live;
    source = from;
    place.start = at;
    shown(async () => {
      await show("play", at);
      if (open) await view.reset(at);
      byId("stage").focus({ preventScroll: true });
    })();
  }

  /** @param {Source} from @param {Moment} at */
  function look(from, at) {
    source = from;
    shown(() => show("browse", at))();
  }

  byId("source").replaceChildren(
    ...sources.map((each) => el("option", { value: each.name, title: each.title }, shortTitle(each))),
  );
  byId("source").addEventListener(
    "change",
    shown(async () => {
      source = sources.find(({ name }) => name === byId("source").value) ?? source;
      Object.assign(place, { start: null, at: null });
      await show(tab);
    }),
  );
  tabs((to) => shown(show)(to));
  themeToggle(() => {
    view.repaint();
    browser.repaint();
  });
  connection(channel);
  learnKeyboard().then(() => view.table.redraw());
  /** @type {any} */ (window).memworld = {
    stats: () => view.stats.read(),
    clear: () => view.stats.clear(),
    state: () => {
      const { step, playing, live, recording, dreams, real, began, panels, source: played } = view.player;
      return { step, playing, live, recording, dreams, real, began, panels, source: played?.name, tab };
    },
  };
  view.speed(place.fps ?? view.player.fps);
  await show(tab, tab === "browse" ? (place.at ?? undefined) : undefined);
}

/** Tabs by click and by arrow keys. @param {(to: "play" | "browse") => void} show */
function tabs(show) {
  for (const name of /** @type {("play" | "browse")[]} */ (["play", "browse"])) {
    const other = name === "play" ? "browse" : "play";
    byId(`tab-${name}`).addEventListener("click", () => show(name));
    byId(`tab-${name}`).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      byId(`tab-${other}`).focus();
      show(other);
    });
  }
}

/** Tell of the connection of what is played, in the corner and in the status line. @param {Channel} channel */
function connection(channel) {
  const state = (/** @type {string} */ name, /** @type {string} */ text) => {
    byId("connection").dataset.state = name;
    byId("connection").hidden = false;
    setText(byId("connection-text"), text);
  };
  channel.addEventListener("open", () => {
    state("open", "connected");
  });
  channel.addEventListener("lost", (event) => {
    const { reason, wait } = /** @type {CustomEvent} */ (event).detail;
    const again = `Trying again in ${(wait / 1000).toFixed(wait < 1000 ? 1 : 0)} s.`;
    state("lost", "reconnecting");
    say(reason ? `${reason} ${again}` : `The connection to the server is lost. ${again}`);
  });
  channel.addEventListener("ended", (event) => {
    state("lost", "ended");
    const { reason } = /** @type {CustomEvent} */ (event).detail;
    fail(`The session has ended${reason ? `: ${reason}` : ""}.`, { label: "Go on", act: () => channel.connect() });
  });
}

api
  .about()
  .then(run)
  .catch((error) => fail(error, { label: "Load again", act: () => location.reload() }));
