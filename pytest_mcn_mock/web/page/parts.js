// Small parts that several views share.

import { SERVER } from './api.js';
import { announceQuietly } from './dialogs.js';
import { h, s } from './dom.js';
import { because, money, number, t, word } from './i18n.js';
import { accountLabel } from './names.js';
import { OUTCOMES, SERVICES } from './words.js';

/** How a call ended, or that it rings. */
export function outcomeChip(call) {
  if (call.state === 'ringing') return h('span', { class: 'chip ringing' }, t('call.ringing'));
  const kind = OUTCOMES.includes(call.outcome) ? call.outcome : 'unavailable';
  return h('span', { class: `chip ${kind}` }, word('outcome', call.outcome));
}

/** Whether a delivery counts as delivered although no attempt was acknowledged: its webhook ignores the answer. */
export function isIgnored(delivery) {
  return delivery.state === 'delivered' && delivery.attempts.every((attempt) => attempt.error);
}

/** What became of a delivery. */
export function deliveryChip(delivery) {
  const kind = isIgnored(delivery) ? 'ignored' : delivery.state;
  return h('span', { class: `chip ${kind === 'failed' ? 'given-up' : kind}` }, word('delivery', kind));
}

/** An HTTP status; null where there was no answer. */
export function statusChip(status) {
  if (status === null || status === undefined) return h('span', { class: 'chip failed' }, t('status.none'));
  return h('span', { class: `chip ${status < 300 ? 'delivered' : 'failed'}` }, String(status));
}

/** Why an attempt was not acknowledged. Without an answer the system's own words say why, in English. */
export function attemptError(status, error) {
  return status === null ? said(error) : t('delivery.unacknowledged', { status: String(status) });
}

/** What became of a call's deliveries: the worst of it, and of how many if there are several. */
export function cdrChip(call) {
  const states = (call.deliveries ?? []).map((delivery) => delivery.state);
  if (!states.length) return h('span', { class: 'muted' }, '–');
  const worst = ['failed', 'pending'].find((state) => states.includes(state)) ?? states[0];
  const n = states.filter((state) => state === worst).length;
  return h('span', { class: `chip ${worst === 'failed' ? 'given-up' : worst}` }, word('cdr', worst),
    states.length > 1 ? ` ${t('cdr.of', { n, of: states.length })}` : null);
}

/** A link to an account, by its name if it has one. */
export function accountLink(id) {
  return h('a', { href: `#/accounts/${encodeURIComponent(id)}` }, accountLabel(id));
}

/** A link to a call. `text` is its number or its uuid. */
export function callLink(uuid, text = uuid) {
  return h('a', { href: `#/calls/${encodeURIComponent(uuid)}`, class: 'mono' }, text);
}

/** An amount, aligned with others. */
export function amount(roubles) {
  return h('span', { class: `amount${roubles.startsWith('-') ? ' negative' : ''}` }, money(roubles));
}

/** A sentence of the server's, in the language of the page if its reason is known, or else in English. */
export function said(text, reason = null) {
  const translated = because(reason);
  return translated === null ? h('span', { lang: 'en' }, text) : h('span', {}, translated);
}

/** Why a call is as it is: a sentence for each reason whose code begins with one of the words. */
export function whys(explanation, ...about) {
  const reasons = explanation.reasons.filter(({ code }) => about.includes(code.split('_')[0]));
  const translated = reasons.map(because);
  if (!translated.includes(null)) return translated.map((text) => h('span', {}, text));
  return about.map((name) => explanation[name]).filter(Boolean).map((text) => said(text));
}

/** Parts with a text between them. */
export function joined(parts, separator) {
  return parts.flatMap((part, index) => (index ? [separator, part] : [part]));
}

/** A list of facts: `[term, value]`, those without a value left out. */
export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== '').map(
    ([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value)),
  ));
}

const COPIED_MS = 2000;
const COPY_SIGN = 'M5 5V3.5A1.5 1.5 0 0 1 6.5 2h6A1.5 1.5 0 0 1 14 3.5v6a1.5 1.5 0 0 1-1.5 1.5H11M3.5 5h6A1.5 1.5 0 0 1 11 6.5v6A1.5 1.5 0 0 1 9.5 14h-6A1.5 1.5 0 0 1 2 12.5v-6A1.5 1.5 0 0 1 3.5 5Z';
const COPIED_SIGN = 'M3 8.5 6.5 12 13 4.5';

function sign(path) {
  return s('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, s('path', { d: path }));
}

/** A button that copies a text; it shows `label`, or a sign that `name` explains. Without a clipboard, which needs TLS or
 * this machine, it selects the element `of`, for Ctrl+C; by default that is the element before it. */
export function copyButton(text, name, { of = null, label = null, key = null } = {}) {
  const shown = () => label ?? sign(COPY_SIGN);
  const attributes = label === null ? { class: 'copy', 'aria-label': name, title: name } : {};
  const button = h('button', { type: 'button', 'data-key': key, ...attributes, on: { click: copy } }, shown());
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(of ?? button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return;
    }
    button.replaceChildren(label === null ? sign(COPIED_SIGN) : t('copied'));
    announceQuietly(t('copied'));
    setTimeout(() => button.replaceChildren(shown()), COPIED_MS);
  }
  return button;
}

/** A command to paste, with a button that copies it. */
export function command(text) {
  const code = h('code', {}, text);
  const button = copyButton(text, t('copy'), { of: code, label: t('copy') });
  return h('div', { class: 'command' }, h('pre', { tabindex: '0', role: 'group', 'aria-label': t('command') }, code), button);
}

/** What there is when there is nothing. */
export function emptyState(title, ...content) {
  return h('div', { class: 'empty' }, h('p', { class: 'title' }, title), content);
}

/** The command that places a flash call, for an account. */
export function curlFor(accountId) {
  // The token of the vendor's example is public; any other one is the tester's to fill in.
  const token = String(accountId) === '12345678' ? "'Authorization: Bearer test-token'" : '"Authorization: Bearer $MCN_TOKEN"';
  const path = SERVICES.api_mcn.paths.flash_call.slice(1).replace('{account_id}', accountId);
  return `curl -X POST -H ${token} '${SERVER}${path}?login_did=79157777777'`;
}

/** Headers, or names and values, as a table. */
export function pairsTable(caption, pairs) {
  const entries = Object.entries(pairs ?? {});
  if (!entries.length) return null;
  return h('table', { class: 'pairs' }, h('caption', {}, caption),
    h('tbody', {}, entries.map(([name, value]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, String(value))))));
}

/** A body, laid out if it is JSON. */
export function bodyBlock(label, text) {
  if (!text) return null;
  return h('pre', { class: 'body', tabindex: '0', role: 'group', 'aria-label': label }, layOut(text));
}

const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** JSON with a line for each value, and another text as it is. Parsing it would change numbers and the order of keys. */
function layOut(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(JSON_TOKEN);
  let depth = 0;
  let laid = '';
  const line = () => `\n${'  '.repeat(depth)}`;
  tokens.forEach((token, index) => {
    if (token === '{' || token === '[') {
      depth += 1;
      laid += token + ('}]'.includes(tokens[index + 1]) ? '' : line());
    } else if (token === '}' || token === ']') {
      depth -= 1;
      laid += ('{['.includes(tokens[index - 1]) ? '' : line()) + token;
    } else {
      laid += token === ',' ? token + line() : token === ':' ? ': ' : token;
    }
  });
  return laid;
}

/** How many, or a dash for none. */
export function count(n) {
  return n ? number(n) : '–';
}
