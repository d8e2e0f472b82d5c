/** Recording what is played, and the list of what was recorded. */

import * as api from "./api.js";
import { byId, el, setText } from "./dom.js";
import { say, shown } from "./status.js";
import { counted, size } from "./words.js";

/** Where a recording may go: the box that says so, and the server's word for it. */
const TO = [
  ["to-mp4", "mp4"],
  ["to-episodes", "episodes"],
];

/** @param {import("./player.js").Player} player */
export function recordings(player) {
  byId("record").addEventListener(
    "click",
    shown(async () => {
      if (player.recording) return player.record(false, []);
      const to = TO.filter(([id]) => byId(id).checked).map(([, kind]) => kind);
      if (!to.length) throw new Error("Choose what to record to: mp4 video, episodes, or both.");
      await player.record(true, to);
      say("Recording.");
    }),
  );
  // The server ends a recording by itself when it has grown too large.
  player.addEventListener("saved", (event) => {
    say(`Saved: ${/** @type {CustomEvent} */ (event).detail.join(", ")}.`);
    list();
  });
  player.addEventListener("change", () => {
    byId("record").disabled = !player.live;
    byId("record").setAttribute("aria-pressed", String(player.recording));
    setText(byId("record-text"), player.recording ? "Stop recording" : "Record");
    for (const [id] of TO) byId(id).disabled = player.recording;
  });
  player.addEventListener("opened", () => list());
}

const list = shown(async () => {
  const { recordings: all, folder } = await api.recordings();
  byId("recordings-none").hidden = all.length > 0;
  setText(byId("recordings-where"), all.length ? `In ${folder}. To look through episodes: memworld browse, and that folder with their name behind it.` : "");
  byId("recordings").replaceChildren(
    ...all.map(({ name, steps, bytes, kind }) => {
      const video = kind === "mp4";
      const what = video ? "Video" : name.endsWith("-real") ? "Real episodes" : "Dream's episodes";
      const named = video ? el("a", { href: api.recording(name), download: name }, what) : el("span", {}, what);
      const long = steps == null ? [] : [counted(steps, video ? "frame" : "step")];
      const told = el("span", { class: "note" }, [...long, size(bytes)].join(" · "));
      return el("li", {}, named, told, el("span", { class: "note name" }, name));
    }),
  );
});
