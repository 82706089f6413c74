// What happens on the server, live: gathered, and handed over once per animation frame, but not while something is
// pressed: a button is clicked only if it is still the same one when the key or the pointer is let go.

import { get } from './api.js';

const KEYS = { call: 'verification_call_uuid', delivery: 'id', account: 'id', request: 'seq' };
const MOST_PENDING = 5000;
const RECONNECT_MS = 3000;

/** Listen until the returned function is called. `apply` gets `{call, delivery, account, request, stale}`: maps of the
 * newest item by its key, and whether something was missed, so that what is shown has to be loaded again. `tell` gets
 * true and false as the connection comes and goes. */
export function listen(apply, tell) {
  let source = null;
  let wasLost = false;
  let frame = 0;
  let timer = 0;
  let isOver = false;
  let isPressed = false;
  let batch = newBatch();

  const flush = () => {
    frame = 0;
    if (isPressed) return;
    const ready = batch;
    batch = newBatch();
    apply(ready);
  };
  const schedule = () => {
    frame ||= requestAnimationFrame(flush);
  };
  const press = (event) => {
    isPressed ||= event.type === 'pointerdown' || event.key === ' ';
  };
  const letGo = () => {
    isPressed = false;
    if (batch.size || batch.stale) schedule();
  };
  const missed = () => {
    batch = newBatch();
    batch.stale = true;
    schedule();
  };

  const connect = () => {
    source = new EventSource('/__admin/events');
    source.addEventListener('open', () => {
      tell(true);
      if (wasLost) missed();
      wasLost = false;
    });
    source.addEventListener('error', () => {
      tell(false);
      wasLost = true;
      if (source.readyState !== EventSource.CLOSED || isOver) return;
      get('accounts', { limit: 1 }).catch(() => null); // says so if it is a sign-in that is missing
      timer = setTimeout(connect, RECONNECT_MS);
    });
    for (const [kind, key] of Object.entries(KEYS)) {
      source.addEventListener(kind, (event) => {
        const item = JSON.parse(event.data);
        batch[kind].set(item[key], item);
        batch.size += 1;
        // A tab in the background gets no frames: rather than keep everything, load anew when it is seen again.
        if (batch.size > MOST_PENDING) missed();
        else schedule();
      });
    }
    source.addEventListener('closed', missed); // an account, and what was its own
    source.addEventListener('reset', missed);
    source.addEventListener('dropped', missed);
  };

  const over = new AbortController();
  const always = { capture: true, signal: over.signal };
  for (const name of ['pointerdown', 'keydown']) window.addEventListener(name, press, always);
  for (const name of ['pointerup', 'pointercancel', 'contextmenu', 'keyup', 'blur']) {
    window.addEventListener(name, letGo, always);
  }

  connect();
  return () => {
    isOver = true;
    over.abort();
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    source.close();
  };
}

function newBatch() {
  return { call: new Map(), delivery: new Map(), account: new Map(), request: new Map(), stale: false, size: 0 };
}
