// The stream of events. A browser opens six connections to a server, and a stream takes one for as long as it lasts: so
// all tabs of a browser share one stream, which a shared worker holds. This file is the worker, and what asks for it.

import { EVENTS } from './words.js';

const RECONNECT_MS = 3000;

/** Follow the events until the returned function is called. `hear(kind, data)` gets each event, its data as JSON text,
 * and the states of the connection: `open`, `lost` while the browser connects again, and `refused` for an answer that
 * is not a stream. */
export function follow(hear) {
  let isOver = false;
  let close = null;
  const alone = () => {
    if (!isOver) close = open(hear);
  };
  let port;
  try {
    const worker = new SharedWorker(import.meta.url, { type: 'module' });
    worker.addEventListener('error', alone, { once: true });
    port = worker.port;
  } catch {
    alone(); // this browser has no shared workers
  }
  port?.addEventListener('message', ({ data: [kind, data] }) => {
    if (!isOver) hear(kind, data);
  });
  port?.start();
  return () => {
    isOver = true;
    close?.();
    port?.postMessage('leave');
  };
}

/** Hold a stream of one's own until the returned function is called. */
function open(hear) {
  let source = null;
  let timer = 0;
  const connect = () => {
    source = new EventSource(new URL('../events', import.meta.url));
    source.addEventListener('open', () => hear('open'));
    source.addEventListener('error', () => {
      const isRefused = source.readyState === EventSource.CLOSED;
      hear(isRefused ? 'refused' : 'lost');
      if (isRefused) timer = setTimeout(connect, RECONNECT_MS);
    });
    for (const kind of EVENTS) source.addEventListener(kind, ({ data }) => hear(kind, data));
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

/** In the worker: hold the stream while any tab follows it. */
function share() {
  const ports = new Set();
  let close = null;
  let state = null;
  const hear = (kind, data) => {
    if (!EVENTS.includes(kind)) state = kind;
    for (const port of ports) port.postMessage([kind, data]);
  };
  addEventListener('connect', ({ ports: [port] }) => {
    ports.add(port);
    if (state) port.postMessage([state]);
    close ??= open(hear);
    port.addEventListener('message', () => {
      ports.delete(port);
      port.close();
      if (ports.size) return;
      close?.();
      close = null;
      state = null;
    });
    port.start();
  });
}

if ('SharedWorkerGlobalScope' in globalThis) share();
