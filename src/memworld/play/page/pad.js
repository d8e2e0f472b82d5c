/** Gamepads, as keys: stick and cross are arrows, buttons what people expect; any can be bound to something else. */

/** @type {Record<number, string>} buttons of the standard layout, where they stand for keys */
const STANDS_FOR = {
  0: "Space",
  1: "KeyX",
  2: "KeyZ",
  3: "KeyC",
  8: "KeyR",
  9: "KeyP",
  12: "ArrowUp",
  13: "ArrowDown",
  14: "ArrowLeft",
  15: "ArrowRight",
};
const STILL = 0.25;

/**
 * What is pressed on a pad.
 * @param {Gamepad} pad
 * @returns {Map<string, number>} codes such as Pad0 or ArrowUp, with how far each is pushed
 */
function pressedOn(pad) {
  const pressed = new Map();
  pad.buttons.forEach((button, i) => {
    if (button.pressed) pressed.set(`Pad${i}`, button.value || 1);
  });
  const [x = 0, y = 0] = pad.axes;
  const push = (/** @type {string} */ code, /** @type {number} */ by) =>
    by > STILL && pressed.set(code, Math.min(1, (by - STILL) / (1 - STILL)));
  push("ArrowLeft", -x);
  push("ArrowRight", x);
  push("ArrowUp", -y);
  push("ArrowDown", y);
  return pressed;
}

/**
 * Watch gamepads as long as one is plugged in.
 * @param {(code: string, strength: number) => void} press
 * @param {(code: string) => void} release
 * @param {(code: string) => boolean} bound whether a pad's own code has a meaning; else what it stands for is pressed
 */
export function watchPads(press, release, bound) {
  /** @type {Map<string, number>} */
  let before = new Map();
  let watching = false;
  const look = () => {
    const pads = navigator.getGamepads().filter((pad) => pad != null);
    const now = new Map();
    for (const pad of pads) {
      for (const [code, strength] of pressedOn(pad)) {
        const instead = STANDS_FOR[Number(code.replace("Pad", ""))];
        now.set(code.startsWith("Pad") && !bound(code) ? (instead ?? code) : code, strength);
      }
    }
    for (const [code, strength] of now) if (before.get(code) !== strength) press(code, strength);
    for (const code of before.keys()) if (!now.has(code)) release(code);
    before = now;
    watching = pads.length > 0;
    if (watching) requestAnimationFrame(look);
  };
  window.addEventListener("gamepadconnected", () => {
    if (!watching) look();
  });
}
