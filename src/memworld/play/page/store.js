/** What the browser keeps for this person. Where it keeps nothing (private windows), the page does without. */

/** @param {string} name @returns {string | null} */
export function recall(name) {
  try {
    return localStorage.getItem(`memworld.${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string | null} value null forgets it */
export function keep(name, value) {
  try {
    if (value == null) localStorage.removeItem(`memworld.${name}`);
    else localStorage.setItem(`memworld.${name}`, value);
  } catch {
    // Nothing is kept beyond this page, then.
  }
}
