/**
 * What a report does beside being read: frames are enlarged, tables scroll by the keyboard, and the theme is chosen;
 * charts.js, which follows in the same script, reads out numbers. Everything is on the page without this script.
 *
 * Names come from outside, so that all text is set as text and never as HTML.
 */
"use strict";

/** A new element with properties, and what it holds. */
function make(tag, properties = {}, ...held) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...held);
  return made;
}

/** A button of one sign. */
function signed(sign, name, pressed) {
  const made = make("button", { type: "button", title: name, onclick: pressed }, sign);
  made.setAttribute("aria-label", name);
  return made;
}

// ---------------------------------------------------------------- theme

const SIGNS = { system: "◐", light: "☀\uFE0E", dark: "☾\uFE0E" };

/** What this browser keeps for all reports; null where pages that lie on disk may keep nothing. */
function kept(theme) {
  try {
    if (theme) localStorage.setItem("memworld-report-theme", theme);
    return localStorage.getItem("memworld-report-theme");
  } catch {
    return null;
  }
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// Before anything is drawn, so that nothing flashes.
if (kept() in SIGNS) setTheme(kept());

/** A button that goes from the system's theme to light, to dark, and round again. */
function themeButton() {
  const names = Object.keys(SIGNS);
  const now = () => document.documentElement.dataset.theme ?? "system";
  const said = () => `Theme: ${now() === "system" ? "as the system" : now()}`;
  const button = signed(SIGNS[now()], said(), () => {
    setTheme(names[(names.indexOf(now()) + 1) % names.length]);
    kept(now());
    button.textContent = SIGNS[now()];
    button.title = said();
    button.setAttribute("aria-label", said());
  });
  button.className = "theme";
  return button;
}

// ---------------------------------------------------------------- boxes that scroll

/** Without a script every table stands in a box. With it only what is too wide does, and the keyboard reaches that. */
const boxes = new ResizeObserver((changed) => {
  for (const { target } of changed) {
    const fits = target.scrollWidth <= target.clientWidth + 1;
    target.classList.toggle("fits", fits);
    if (fits) target.removeAttribute("tabindex");
    else target.tabIndex = 0;
  }
});

// ---------------------------------------------------------------- frames

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Lets frames be enlarged in a dialog, whose arrow keys go from frame to frame of a strip. */
function enlarging() {
  const image = make("img");
  const caption = make("p");
  const close = () => dialog.close();
  const dialog = make(
    "dialog",
    { className: "zoom" },
    image,
    caption,
    signed("‹", "Frame before", () => move(-1, 0)),
    signed("›", "Frame after", () => move(1, 0)),
    signed("✕", "Close", close),
  );
  let strip = [];
  let [column, row] = [0, 0];

  /** Rows end alike, as the truth alone has the frame that all begin with: so columns count from there, 0, -1, ... */
  function move(across, down) {
    row = Math.min(strip.length - 1, Math.max(0, row + down));
    const last = strip[row].length - 1;
    column = Math.min(0, Math.max(-last, column + across));
    const frame = strip[row][last + column];
    Object.assign(image, { src: frame.src, alt: frame.alt, width: frame.width, height: frame.height });
    const where = frame.closest(".film, article").querySelector("figcaption, h3");
    caption.textContent = `${where.textContent.trim()}: ${frame.alt}`;
  }

  dialog.setAttribute("aria-label", "Frame, enlarged");
  dialog.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    move(...ARROWS[event.key]);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  document.body.append(dialog);

  for (const held of document.querySelectorAll(".strip, article")) {
    const rows = [...(held.matches(".strip") ? held.querySelectorAll("tr") : [held])]
      .map((line) => [...line.querySelectorAll("img")])
      .filter((line) => line.length);
    rows.forEach((line, j) => line.forEach((frame, i) => {
      // The first stands for its strip among the keyboard's stops: all others are reached in the dialog.
      const opener = make("button", { type: "button", className: "frame", tabIndex: i || j ? -1 : 0 });
      frame.replaceWith(opener);
      opener.append(frame);
      opener.addEventListener("click", () => {
        [strip, column, row] = [rows, i - line.length + 1, j];
        move(0, 0);
        dialog.showModal();
      });
    }));
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelector("header").prepend(themeButton());
  document.querySelectorAll(".scroll").forEach((box) => boxes.observe(box));
  enlarging();
  readableCharts();
});
