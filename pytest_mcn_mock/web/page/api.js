// The admin API, as the page asks for it.

import { because, t } from './i18n.js';

const ADMIN = new URL('../', import.meta.url);

/** The path of the admin API, below which the page was reached: a proxy may add a prefix. */
export const ADMIN_PATH = ADMIN.pathname;

/** The server's URL as the reader's browser knows it, with a slash at its end. */
export const SERVER = `${ADMIN.origin}${new URL('../', ADMIN).pathname}`;

/** A refusal: `code` and `parameter` are the error envelope's; status 0 means that nobody answered. */
export class ApiError extends Error {
  constructor(status, code, message, parameter) {
    super(message);
    this.status = status;
    this.code = code;
    this.parameter = parameter;
  }
}

/** A path whose every part is one segment, whatever is in it. */
export function at(...segments) {
  return segments.map((segment) => encodeURIComponent(segment)).join('/');
}

/** What is at a path; parameters that are empty are left out. */
export async function get(path, query = {}) {
  return (await ask('GET', path, { query })).content;
}

/** What is at a path, and its version for a later `send`. */
export async function getWithTag(path) {
  return ask('GET', path, {});
}

/** Change something; `tag` makes it fail with 412 if somebody else was faster. */
export async function send(method, path, body, tag = null) {
  return (await ask(method, path, { body, tag })).content;
}

async function ask(method, path, { query = {}, body, tag = null }) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const search = given.length ? `?${new URLSearchParams(given)}` : '';
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (tag) headers['If-Match'] = tag;
  let response;
  let text;
  try {
    response = await fetch(`${ADMIN_PATH}${path}${search}`, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store',
    });
    text = await response.text();
  } catch {
    throw new ApiError(0, 'unreachable', t('error.unreachable'), null);
  }
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, 'unreadable', t('error.unreadable', { status: response.status }), null);
  }
  if (response.ok) return { content, tag: response.headers.get('ETag') };
  const error = content?.errors?.[0] ?? {};
  if (response.status === 401 && path !== 'session') {
    if (method === 'GET') document.dispatchEvent(new Event('signedout'));
    else get('accounts', { limit: 1 }).catch(() => null); // a refused call looks the same: what is sure shows in a read
  }
  throw new ApiError(
    response.status, error.code ?? 'unknown', because(error.reason) ?? error.message ?? t('error.unreadable', { status: response.status }),
    error.parameter ?? null,
  );
}
