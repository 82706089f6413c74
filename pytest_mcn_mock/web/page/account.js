// One account: its money over time, and all that can be set up for it.

import { closeAccount, editAccount, holdCalls, setBalance, topUp } from './actions.js';
import { at, get, getWithTag } from './api.js';
import { balanceChart } from './chart.js';
import { actionButton } from './dialogs.js';
import { atMostEvery, h, refill } from './dom.js';
import { exportButtons, fieldsNamed } from './export.js';
import { Feed } from './feed.js';
import { moment, money, t, word } from './i18n.js';
import { accountLabel, learn } from './names.js';
import { amount, callLink, facts } from './parts.js';
import { faultsSection, outcomesSection } from './rules.js';
import { webhooksSection } from './webhooks.js';

const REFRESH_MS = 400;
const CHART_ENTRIES = 1000;
const LEDGER_FIELDS = fieldsNamed('n', 'kind', 'amount', 'balance', 'at', 'verification_call_uuid');

/** An account as a view. */
export async function accountView(id) {
  const head = h('div', {});
  const money_ = h('section', { class: 'card', 'aria-labelledby': 'money' });
  const settings = h('div', { class: 'cards' });
  const ledger = new Feed({
    path: at('accounts', id, 'ledger'),
    key: 'n',
    cursor: 'n',
    caption: t('ledger.title'),
    size: 50,
    columns: [
      { title: t('column.kind'), sort: (entry) => entry.kind, cell: (entry) => word('ledger', entry.kind) },
      { title: t('column.amount'), sort: (entry) => Number(entry.amount), descends: true, cell: (entry) => amount(entry.amount), className: 'right' },
      { title: t('column.balance'), sort: (entry) => Number(entry.balance), descends: true, cell: (entry) => amount(entry.balance), className: 'right' },
      { title: t('column.at'), sort: (entry) => entry.n, descends: true, cell: (entry) => moment(entry.at), className: 'time' },
      { title: t('column.call'), cell: (entry) => (entry.verification_call_uuid ? callLink(entry.verification_call_uuid) : '–'), className: 'wide-2' },
    ],
    total: async () => ({ n: entries.length, isCut: hasMore }),
    empty: () => t('ledger.none'),
  });
  let account = null;
  let tag = null;
  let entries = [];
  let hasMore = false; // entries that are older than those
  let title = t('account.title', { id: accountLabel(id) });

  async function loadMoney() {
    const { items, next } = await get(at('accounts', id, 'ledger'), { order: 'newest', limit: CHART_ENTRIES });
    entries = items.reverse();
    hasMore = next !== null;
    renderMoney();
  }
  const refresh = atMostEvery(() => REFRESH_MS, async () => {
    await Promise.all([loadAccount(), loadMoney().then(() => ledger.load())].map((load) => load.catch(() => null))); // closed meanwhile
  });
  async function loadAccount() {
    ({ content: account, tag } = await getWithTag(at('accounts', id)));
    learn([account]);
    title = t('account.title', { id: accountLabel(id) });
    renderHead();
    renderSettings();
  }

  return {
    section: 'accounts',
    get title() {
      return title;
    },
    query: {},
    node: h('div', { class: 'account' }, head, money_, settings,
      h('section', { class: 'card', 'aria-labelledby': 'ledger' }, h('div', { class: 'head' }, h('h2', { id: 'ledger' }, t('ledger.title')), exportButtons(`ledger-${id}`, () => ledger, LEDGER_FIELDS)),
        ledger.node)),
    async load() {
      await loadAccount();
      await loadMoney();
      await ledger.load();
    },
    async apply(batch) {
      const isOurs = (item) => String(item.account_id) === id;
      if (batch.stale || batch.account.has(Number(id)) || [...batch.call.values()].some(isOurs)) await refresh();
    },
    close: () => {},
  };

  function renderHead() {
    refill(head, h('div', { class: 'head' },
      h('h1', { tabindex: '-1' }, title),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', 'data-key': 'topup', on: { click: () => topUp(account) } }, t('action.topup')),
        h('button', { type: 'button', 'data-key': 'balance', on: { click: () => setBalance(account) } }, t('action.balance')),
        h('button', { type: 'button', 'data-key': 'close', class: 'danger', on: { click: () => closeAccount(account) } }, t('action.close')))));
  }

  function renderMoney() {
    refill(money_,
      h('h2', { id: 'money' }, t('column.balance'), h('span', { class: 'big' }, money(entries.at(-1)?.balance ?? account.balance))),
      entries.length > 1 ? balanceChart(entries) : h('p', { class: 'muted' }, t('chart.none')),
      h('p', {}, h('a', { href: `#/calls?account_id=${id}`, 'data-key': 'calls' }, t('account.calls')), ' · ',
        h('a', { href: `#/deliveries?account_id=${id}`, 'data-key': 'deliveries' }, t('account.deliveries')), ' · ',
        h('a', { href: `#/requests?account_id=${id}`, 'data-key': 'requests' }, t('account.requests'))));
  }

  function renderSettings() {
    const { flash_call: flash, call_for_2fa: twofa, paidmethods: paid } = account.tariff;
    refill(settings,
      h('section', { class: 'card', 'aria-labelledby': 'set-up' },
        h('div', { class: 'head' }, h('h2', { id: 'set-up' }, t('account.settings')),
          h('button', { type: 'button', 'data-key': 'edit', on: { click: () => editAccount(account, tag) } }, t('action.edit'))),
        facts([
          [t('edit.numbers'), account.numbers.length ? h('span', { class: 'mono' }, account.numbers.join(', ')) : t('none')],
          [t('edit.credit'), money(account.credit)],
          [t('balance.unlimited'), account.unlimited ? t('yes') : t('no')],
          [t('edit.flash_643'), money(flash['643'])],
          [t('edit.flash_703'), money(flash['703'])],
          [t('edit.call_for_2fa'), money(twofa)],
          [t('edit.paid_643'), money(paid.flash_call['643'])],
          [t('edit.paid_398'), money(paid.flash_call['398'])],
          [t('edit.paid_2fa'), money(paid.call_for_2fa)],
          [t('account.seed'), h('span', { class: 'mono' }, String(account.seed))],
          [t('column.held'), account.calls_held ? t('hold.is') : t('no')],
        ]),
        actionButton(account.calls_held ? t('hold.stop') : t('hold.start'), () => holdCalls(account, !account.calls_held), { 'data-key': 'hold' })),
      faultsSection(account),
      webhooksSection(account),
      outcomesSection(account));
  }
}
