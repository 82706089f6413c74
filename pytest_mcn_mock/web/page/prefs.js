// What the reader prefers, kept in the browser.

import { ADMIN_PATH } from './api.js';
import { preferred } from './i18n.js';

const THEMES = ['auto', 'light', 'dark'];
const SIGNED_IN = `signed-in.${ADMIN_PATH}`; // one origin may have several sandboxes, each below its prefix

function recall(name) {
  try {
    return localStorage.getItem(`mcn-mock.${name}`);
  } catch {
    return null; // storage is switched off
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`mcn-mock.${name}`, value);
  } catch {
    // it holds for this visit
  }
}

/** The language that was chosen here, or the browser's. */
export function chosenLanguage() {
  return preferred([recall('language') ?? '', ...navigator.languages]);
}

/** Keep a language for the next visit. */
export function chooseLanguage(tag) {
  remember('language', tag);
}

/** Whether a token was given here, so that there is something to sign out of. */
export function isSignedIn() {
  return recall(SIGNED_IN) === 'yes';
}

/** Keep whether a token was given. */
export function rememberSignedIn(isIn) {
  remember(SIGNED_IN, isIn ? 'yes' : 'no');
}

/** The theme that was chosen here: auto, light or dark. */
export function chosenTheme() {
  const theme = recall('theme');
  return THEMES.includes(theme) ? theme : 'auto';
}

/** Show a theme; auto is the system's. */
export function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

/** Show a theme from now on, and at the next visit. */
export function chooseTheme(theme) {
  remember('theme', theme);
  showTheme(theme);
}

export { THEMES };
