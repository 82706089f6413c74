// What the tab says of deliveries that have failed, so that it is seen from another tab.

import { ApiError, get } from './api.js';
import { atMostEvery } from './dom.js';

const REFRESH_MS = 2000;
const MOST_SHOWN = 99;

/** The number of failed deliveries: `n`, which `look()` asks for again. `tell()` is called when it has changed. */
export function countFailed(tell) {
  const failed = {
    n: 0,
    look: atMostEvery(() => REFRESH_MS, async () => {
      try {
        const { deliveries } = await get('overview');
        if (deliveries.failed === failed.n) return;
        failed.n = deliveries.failed;
        tell();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error; // the status says that the server is gone
      }
    }),
  };
  return failed;
}

/** Show the icon of the tab: with the number of failed deliveries on it, or as it is if there are none. */
export function showIcon(n) {
  const link = document.querySelector('link[rel=icon]');
  link.dataset.plain ??= link.getAttribute('href');
  link.href = n ? `data:image/svg+xml,${encodeURIComponent(badge(n > MOST_SHOWN ? `${MOST_SHOWN}+` : String(n)))}` : link.dataset.plain;
}

function badge(text) {
  const size = text.length > 2 ? 13 : 17;
  return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b5cad"/>'
    + '<rect y="9" width="32" height="23" rx="7" fill="#ad2018"/>'
    + `<text x="16" y="27" fill="#fff" font-family="sans-serif" font-size="${size}" font-weight="700" text-anchor="middle">${text}</text></svg>`;
}
