// All accounts, each with its balance and how it came about.

import { openAccount } from './actions.js';
import { at, get } from './api.js';
import { sparkline } from './chart.js';
import { atMostEvery, h, refill } from './dom.js';
import { money, number, t } from './i18n.js';
import { learn } from './names.js';
import { accountLink, amount, count, emptyState } from './parts.js';

const PAGE = 50;
const REFRESH_MS = 500;
const SPARK_ENTRIES = 200;

/** The accounts as a view. */
export async function accountsView() {
  const starts = [null];
  let accounts = [];
  let next = null;
  let lines = new Map();
  const body = h('div', {});
  const due = new Set();

  const view = {
    section: 'accounts',
    title: t('accounts.title'),
    query: {},
    node: h('div', { class: 'list' },
      h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, t('accounts.title')),
        h('button', { type: 'button', on: { click: openAccount } }, t('action.open'))),
      body),
    async load() {
      ({ items: accounts, next } = await get('accounts', { limit: PAGE, after: starts.at(-1) }));
      learn(accounts);
      render();
      await draw(accounts);
    },
    async apply(batch) {
      const known = new Map(accounts.map((account, index) => [account.id, index]));
      const isNew = [...batch.account.keys()].some((id) => !known.has(id)) && next === null;
      if (batch.stale || isNew) {
        await view.load();
        return;
      }
      for (const [id, account] of batch.account) {
        if (!known.has(id)) continue;
        accounts[known.get(id)] = account;
        due.add(account);
      }
      if (!due.size) return;
      render();
      await redraw();
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

  function turn(pages) {
    if (pages > 0) starts.push(next);
    else starts.pop();
    view.load();
  }

  function render() {
    if (!accounts.length && starts.length === 1) {
      refill(body, emptyState(t('empty.accounts'),
        h('p', {}, h('button', { type: 'button', class: 'primary', on: { click: openAccount } }, t('action.open')))));
      return;
    }
    const heads = [
      ['column.account'], ['column.balance', 'right'], ['column.line'], ['column.numbers', 'right wide-2'],
      ['column.webhooks', 'right wide-2'], ['column.rules', 'right wide-3'], ['column.faults', 'right wide-3'], ['column.held', 'wide-3'],
    ];
    refill(body,
      h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': t('accounts.title') }, h('table', {},
        h('caption', {}, t('accounts.title')),
        h('thead', {}, h('tr', {}, heads.map(([key, className]) => h('th', { scope: 'col', class: className }, t(key))))),
        h('tbody', {}, accounts.map(row)))),
      h('div', { class: 'pager' },
        starts.length > 1 ? h('button', { type: 'button', 'data-key': 'newer', on: { click: () => turn(-1) } }, t('accounts.back')) : null,
        next !== null ? h('button', { type: 'button', 'data-key': 'older', on: { click: () => turn(1) } }, t('accounts.more')) : null));
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
        disabled ? h('span', { class: 'chip failed' }, t('accounts.disabled', { n: disabled })) : null),
      h('td', { class: 'right wide-3' }, count(account.outcomes.length)),
      h('td', { class: 'right wide-3' }, count(account.faults.length)),
      h('td', { class: 'wide-3' }, account.calls_held ? t('yes') : '–'));
  }

  function lineOf(account) {
    const entries = lines.get(account.id) ?? [];
    if (!entries.length) return '–';
    return sparkline(entries, t('chart.spark', {
      first: money(entries[0].balance), last: money(entries.at(-1).balance), count: number(entries.length),
    }));
  }
}
