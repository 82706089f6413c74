// What happens on the server, live: gathered, and handed over once per animation frame, but not while something is
// pressed: a button is clicked only if it is still the same one when the key or the pointer is let go.

import { get } from './api.js';
import { follow } from './stream.js';

const KEYS = { call: 'verification_call_uuid', delivery: 'id', account: 'id', request: 'seq' };
const MOST_PENDING = 5000;

/** Listen until the returned function is called. `apply` gets `{call, delivery, account, request, stale}`: maps of the
 * newest item by its key, and whether something was missed, so that what is shown has to be loaded again. It gets the
 * next batch when it has done with this one. `tell` gets true and false as the connection comes and goes. A tab that
 * nobody sees does not listen. */
export function listen(apply, tell) {
  let leave = null;
  let frame = 0;
  let isPressed = false;
  let isApplying = false;
  let batch = newBatch();

  const flush = async () => {
    frame = 0;
    if (isPressed || isApplying) return;
    const ready = batch;
    batch = newBatch();
    isApplying = true;
    try {
      await apply(ready);
    } finally {
      isApplying = false;
      rest();
    }
  };
  const schedule = () => {
    frame ||= requestAnimationFrame(flush);
  };
  const rest = () => {
    if (leave && (batch.size || batch.stale)) schedule();
  };
  const press = (event) => {
    isPressed ||= event.type === 'pointerdown' || event.key === ' ';
  };
  const letGo = () => {
    isPressed = false;
    rest();
  };
  const missed = () => {
    batch = newBatch();
    batch.stale = true;
    schedule();
  };
  const hear = (kind, data) => {
    if (kind === 'lost' || kind === 'refused') {
      tell(false);
      if (kind === 'refused') get('accounts', { limit: 1 }).catch(() => null); // says so if it is a sign-in that is missing
      return;
    }
    if (kind === 'open') tell(true);
    if (!(kind in KEYS)) { // from here on nothing is missed; before it, or by what happened, something may have been
      missed();
      return;
    }
    const item = JSON.parse(data);
    batch[kind].set(item[KEYS[kind]], item);
    batch.size += 1;
    if (batch.size > MOST_PENDING) missed(); // rather than keep everything, load again
    else schedule();
  };
  const stop = () => {
    leave?.();
    leave = null;
    cancelAnimationFrame(frame);
    frame = 0;
  };
  const look = () => {
    if (document.hidden) stop();
    else leave ??= follow(hear);
  };

  const over = new AbortController();
  const always = { capture: true, signal: over.signal };
  for (const name of ['pointerdown', 'keydown']) window.addEventListener(name, press, always);
  for (const name of ['pointerup', 'pointercancel', 'contextmenu', 'keyup', 'blur']) {
    window.addEventListener(name, letGo, always);
  }
  document.addEventListener('visibilitychange', look, always);

  look();
  return () => {
    over.abort();
    stop();
  };
}

function newBatch() {
  return { call: new Map(), delivery: new Map(), account: new Map(), request: new Map(), stale: false, size: 0 };
}
