// What has happened, at a glance.

import { get } from './api.js';
import { minutesChart } from './chart.js';
import { atMostEvery, h, refill } from './dom.js';
import { money, number, share, t, word } from './i18n.js';
import { newestCalls } from './lists.js';
import { learn } from './names.js';
import { OUTCOMES } from './words.js';

const REFRESH_MS = 1000;
const EASE = 20; // pauses for so many times as long as the server took: its work is for the calls
const WINDOW_MS = 20_000; // the last hour moves on also when nothing happens

/** The overview as a view. */
export async function overviewView() {
  const numbers = h('div', { class: 'cards-of-numbers' });
  const details = h('div', { class: 'cards' });
  const accounts = (await get('accounts', { limit: 1000 })).items;
  learn(accounts);
  const feed = newestCalls(accounts);
  const note = h('p', { class: 'note' });
  let took = 0;
  let timer = 0;

  async function loadNumbers() {
    const began = performance.now();
    const shown = await get('overview');
    took = performance.now() - began;
    render(shown);
  }
  const refresh = atMostEvery(() => Math.max(REFRESH_MS, EASE * took), () => loadNumbers().catch(() => null)); // the status says that it is gone
  function move() {
    timer = setTimeout(() => {
      if (!numbers.isConnected) return;
      refresh();
      move();
    }, WINDOW_MS);
  }

  return {
    section: 'overview',
    title: t('overview.title'),
    query: {},
    node: h('div', { class: 'overview' },
      h('h1', { tabindex: '-1' }, t('overview.title')),
      numbers, note, details,
      h('section', { class: 'card', 'aria-labelledby': 'newest' },
        h('div', { class: 'head' }, h('h2', { id: 'newest' }, t('overview.newest')), h('a', { href: '#/calls' }, t('overview.all'))),
        feed.node)),
    async load() {
      await Promise.all([loadNumbers(), feed.load()]);
      clearTimeout(timer);
      move();
    },
    async apply(batch) {
      if (batch.stale) await feed.load();
      else feed.applyAll(batch);
      if (batch.stale || batch.call.size || batch.delivery.size || batch.request.size) refresh();
    },
    close: () => clearTimeout(timer),
  };

  function render(shown) {
    const { calls, deliveries, requests } = shown;
    const counted = Object.values(calls).reduce((sum, n) => sum + n, 0);
    const ended = counted - calls.ringing;
    const sent = deliveries.delivered + deliveries.failed;
    const lastHour = shown.minutes.reduce((sum, minute) => sum + minute.calls, 0);
    refill(numbers,
      tile('calls', t('calls.title'), number(shown.accepted), t('overview.last', { n: lastHour }), '#/calls'),
      tile('answered', t('overview.answered'), ended ? share(calls.answered, ended) : '–',
        t('overview.answered.of', { n: ended, answered: calls.answered }), '#/calls?show=answered'),
      tile('failed', t('overview.failed'), number(deliveries.failed), t('overview.sent', { n: sent }), '#/deliveries?show=failed',
        deliveries.failed ? 'bad' : ''),
      tile('pending', t('overview.pending'), number(deliveries.pending),
        calls.ringing ? t('overview.ringing', { n: calls.ringing }) : t('overview.ringing.none'), '#/deliveries?show=pending'),
      tile('refused', t('overview.refused'), number(requests.refused), t('overview.requests', { n: requests.accepted + requests.refused }), '#/requests?show=refused',
        requests.refused ? 'warn' : ''),
      tile('spent', t('overview.spent'), money(shown.spent), t('overview.spent.by', { n: accounts.length }), '#/accounts'));
    const isCut = counted < shown.listed || sent >= shown.most || counted < shown.accepted;
    note.hidden = !isCut;
    note.textContent = isCut ? t('overview.cut', { n: counted }) : '';
    refill(details,
      h('section', { class: 'card', 'aria-labelledby': 'hour' },
        h('div', { class: 'head' }, h('h2', { id: 'hour' }, t('minutes.title')),
          h('p', { class: 'legend', 'aria-hidden': 'true' }, h('span', { class: 'key' }, t('minutes.placed')), h('span', { class: 'key good' }, t('minutes.answered')))),
        minutesChart(shown.minutes)),
      h('section', { class: 'card', 'aria-labelledby': 'outcomes' },
        h('h2', { id: 'outcomes' }, t('overview.outcomes')),
        h('ul', { class: 'shares' }, [...OUTCOMES, 'ringing'].map((outcome) => outcomeShare(outcome, calls[outcome], counted)))));
  }
}

function tile(key, title, value, detail, href, mood = '') {
  return h('a', { class: `number ${mood}`, href, 'data-key': `number-${key}` },
    h('span', { class: 'title' }, title), h('span', { class: 'big' }, value), h('span', { class: 'detail' }, detail));
}

function outcomeShare(outcome, n, all) {
  const name = outcome === 'ringing' ? t('call.ringing') : word('outcome', outcome);
  const bar = h('span', { class: `bar-of-share ${outcome}`, 'aria-hidden': 'true' });
  bar.style.width = `${all ? n / all * 100 : 0}%`; // a property is allowed where an attribute is not
  return h('li', {}, h('a', { href: `#/calls?show=${outcome}`, 'data-key': `share-${outcome}` }, name),
    h('span', { class: 'track' }, bar), h('span', { class: 'amount' }, number(n)), h('span', { class: 'amount muted' }, all ? share(n, all) : '–'));
}
