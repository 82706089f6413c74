// All accounts, each with its balance and how it came about.

import { openAccount } from './actions.js';
import { at, get } from './api.js';
import { sparkline } from './chart.js';
import { actionButton } from './dialogs.js';
import { atMostEvery, h, refill } from './dom.js';
import { exportButtons, fieldsNamed } from './export.js';
import { money, number, t } from './i18n.js';
import { accountLabel, learn } from './names.js';
import { accountLink, amount, count, emptyState } from './parts.js';
import { Sorting } from './sorting.js';
import { enableWebhook } from './webhooks.js';

const CHUNK = 1000;
const PAGE = 50;
const REFRESH_MS = 500;
const SPARK_ENTRIES = 200;
const FIELDS = [
  ...fieldsNamed('id', 'name', 'balance', 'credit', 'unlimited', 'seed', 'calls_held'),
  ['numbers', (account) => account.numbers.join(' ')],
  ...['webhooks', 'outcomes', 'faults'].map((name) => [name, (account) => account[name].length]),
];

/** The accounts as a view. */
export async function accountsView() {
  const starts = [null]; // of chunks, which are long: a chunk is sorted as a whole
  let page = 0;
  let accounts = [];
  let next = null;
  let lines = new Map();
  const due = new Set();
  const sorting = new Sorting([
    { title: t('column.account'), sort: (account) => accountLabel(account.id) },
    { title: t('column.balance'), className: 'right', sort: (account) => Number(account.balance), descends: true },
    { title: t('column.line') },
    { title: t('column.numbers'), className: 'right wide-2', sort: (account) => account.numbers.length, descends: true },
    { title: t('column.webhooks'), className: 'right wide-2', sort: (account) => account.webhooks.length, descends: true },
    { title: t('column.rules'), className: 'right wide-3', sort: (account) => account.outcomes.length, descends: true },
    { title: t('column.faults'), className: 'right wide-3', sort: (account) => account.faults.length, descends: true },
    { title: t('column.held'), className: 'wide-3', sort: (account) => Number(account.calls_held), descends: true },
  ], async () => {
    page = 0;
    render();
    await draw(shown());
  });
  const rows = h('tbody');
  const frame = h('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': t('accounts.title') }, h('table', {},
    h('caption', {}, t('accounts.title')),
    h('thead', {}, h('tr', {}, sorting.heads)),
    rows));
  const pager = h('div', { class: 'pager' });
  const blank = h('div', {});

  const view = {
    section: 'accounts',
    title: t('accounts.title'),
    query: {},
    node: h('div', { class: 'list' },
      h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, t('accounts.title')),
        h('div', { class: 'buttons' },
          exportButtons('accounts', () => ({ gather: gatherAll }), FIELDS),
          h('button', { type: 'button', on: { click: openAccount } }, t('action.open')))),
      h('div', {}, frame, pager, blank)),
    async load() {
      ({ items: accounts, next } = await get('accounts', { limit: CHUNK, after: starts.at(-1) }));
      learn(accounts);
      render();
      await draw(shown());
    },
    async apply(batch) {
      const known = new Map(accounts.map((account, index) => [account.id, index]));
      const isNew = [...batch.account.keys()].some((id) => !known.has(id)) && next === null;
      if (batch.stale || isNew) {
        await view.load();
        return;
      }
      for (const [id, account] of batch.account) if (known.has(id)) accounts[known.get(id)] = account;
      for (const account of shown()) if (batch.account.get(account.id) === account) due.add(account);
      render();
      if (due.size) await redraw();
    },
    close: () => {},
  };
  const redraw = atMostEvery(() => REFRESH_MS, async () => {
    const changed = [...due];
    due.clear();
    await draw(changed);
  });
  return view;

  async function draw(some) {
    const fresh = await Promise.all(some.map(async (account) => {
      const { items } = await get(at('accounts', account.id, 'ledger'), { order: 'newest', limit: SPARK_ENTRIES })
        .catch(() => ({ items: [] })); // closed meanwhile
      return [account.id, items.reverse()];
    }));
    lines = new Map([...lines, ...fresh]);
    render();
  }

  function shown() {
    return sorting.order(accounts).slice(page * PAGE, (page + 1) * PAGE);
  }

  async function gatherAll(start, most) {
    const items = [];
    let after = start || null;
    do {
      const chunk = await get('accounts', { limit: CHUNK, after });
      items.push(...chunk.items);
      after = chunk.next;
    } while (after !== null && items.length < most);
    return { items: items.slice(0, most), next: after };
  }

  async function turn(pages) {
    page += pages;
    if (page * PAGE >= accounts.length) {
      starts.push(next);
      page = 0;
    } else if (page < 0) {
      starts.pop();
      page = CHUNK / PAGE - 1;
    } else {
      render();
      await draw(shown());
      return;
    }
    await view.load();
  }

  function render() {
    page = Math.min(page, Math.max(0, Math.ceil(accounts.length / PAGE) - 1));
    const isEmpty = !accounts.length && starts.length === 1;
    frame.hidden = pager.hidden = isEmpty;
    blank.replaceChildren(...isEmpty ? [emptyState(t('empty.accounts'),
      h('p', {}, h('button', { type: 'button', class: 'primary', on: { click: openAccount } }, t('action.open'))))] : []);
    const shownRows = shown();
    const first = (starts.length - 1) * CHUNK + page * PAGE;
    const all = (starts.length - 1) * CHUNK + accounts.length;
    const note = t('feed.of', { first: first + 1, last: first + shownRows.length, total: `${number(all)}${next === null ? '' : '+'}` });
    const isPart = sorting.by && (next !== null || starts.length > 1);
    refill(rows, shownRows.map(row));
    refill(pager,
      first > 0 ? h('button', { type: 'button', 'data-key': 'newer', on: { click: () => turn(-1) } }, t('accounts.back')) : null,
      (page + 1) * PAGE < accounts.length || next !== null
        ? h('button', { type: 'button', 'data-key': 'older', on: { click: () => turn(1) } }, t('accounts.more')) : null,
      h('p', { class: 'note' }, note, isPart ? ` · ${t('accounts.sorted', { n: accounts.length })}` : null));
  }

  function row(account) {
    const disabled = account.webhooks.filter((webhook) => !webhook.enabled).length;
    const link = accountLink(account.id);
    link.dataset.key = `account-${account.id}`;
    return h('tr', { 'data-id': account.id },
      h('th', { scope: 'row' }, link),
      h('td', { class: 'right' }, amount(account.balance)),
      h('td', {}, lineOf(account)),
      h('td', { class: 'right wide-2' }, count(account.numbers.length)),
      h('td', { class: 'right wide-2' }, count(account.webhooks.length),
        disabled ? [h('span', { class: 'chip failed' }, t('accounts.disabled', { n: disabled })), ' ', enableButton(account)] : null),
      h('td', { class: 'right wide-3' }, count(account.outcomes.length)),
      h('td', { class: 'right wide-3' }, count(account.faults.length)),
      h('td', { class: 'wide-3' }, account.calls_held ? t('yes') : '–'));
  }

  /** One press enables every disabled webhook of an account. */
  function enableButton(account) {
    return actionButton(t('webhook.enable'), async () => {
      const disabled = account.webhooks.filter((webhook) => !webhook.enabled);
      for (const { n } of disabled) await enableWebhook(account.id, n);
      return t('accounts.enabled', { id: String(account.id) });
    }, { 'data-key': `enable-${account.id}`, 'aria-label': t('accounts.enable', { id: String(account.id) }) });
  }

  function lineOf(account) {
    const entries = lines.get(account.id) ?? [];
    if (!entries.length) return '–';
    return sparkline(entries, t('chart.spark', {
      first: money(entries[0].balance), last: money(entries.at(-1).balance), count: number(entries.length),
    }));
  }
}
