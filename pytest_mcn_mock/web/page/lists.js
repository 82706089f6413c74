// The three journals: calls, deliveries and requests, each a live table under a bar of filters.

import { placeCall } from './actions.js';
import { get } from './api.js';
import { h } from './dom.js';
import { exportButtons, fieldsNamed } from './export.js';
import { Feed } from './feed.js';
import { selectField, textField } from './fields.js';
import { moment, t, word } from './i18n.js';
import { accountLabel, learn } from './names.js';
import {
  accountLink, amount, callLink, cdrChip, command, curlFor, deliveryChip, emptyState, joined, outcomeChip, said, statusChip, whys,
} from './parts.js';
import { DELIVERY_STATES, OUTCOMES } from './words.js';

const FIND_PAUSE_MS = 250;
const FEW = 8;
const SHORT = {
  outcome_rule: 'rule',
  outcome_magic: 'magic',
  outcome_magic_held: 'magic',
  outcome_chosen: 'chosen',
  outcome_default: 'default',
  outcome_manual: 'manual',
  cdr_disabled: 'disabled',
  cdr_disabled_since: 'disabled',
  cdr_filtered: 'filtered',
};

const KINDS = {
  calls: {
    event: 'call',
    key: 'verification_call_uuid',
    cursor: 'seq',
    shows: ['ringing', ...OUTCOMES],
    label: (show) => (show === 'ringing' ? t('call.ringing') : word('outcome', show)),
    hasState: (show) => show === 'ringing',
    isShown: (call, show) => (call.state === 'ringing' ? show === 'ringing' : call.outcome === show),
    words: (call) => [call.verification_call_uuid, call.login_did, call.caller_did],
    // Events and the answers to a change do not always say what became of the deliveries.
    merge: (known, call) => (call.deliveries ? call : { ...call, deliveries: known.deliveries }),
    count: ({ calls, listed, most }, show) => (show ? { n: calls[show], isCut: sum(calls) >= most } : { n: listed, isCut: false }),
    // On a narrow screen a row has two lines, and the columns that are in the second one are not there.
    columns: () => [
      {
        title: t('column.number'), sort: (call) => call.login_did,
        cell: (call) => [callLink(call.verification_call_uuid, call.login_did), under(h('span', { class: 'mono muted' }, `${call.method} · ${call.code}`))],
      },
      { title: t('column.outcome'), sort: (call) => call.outcome ?? '', cell: (call) => [outcomeChip(call), call.deliveries?.length ? under(cdrChip(call)) : null] },
      { title: t('column.cdr'), sort: (call) => worst(call), cell: cdrChip, className: 'wide-3' },
      { title: t('column.method'), sort: (call) => call.method, cell: (call) => h('code', {}, call.method), className: 'wide-3' },
      { title: t('column.code'), sort: (call) => call.code, cell: (call) => h('span', { class: 'mono' }, call.code), className: 'wide-3' },
      {
        title: t('column.price'), sort: (call) => Number(call.price), descends: true, className: 'right',
        cell: (call) => [amount(call.price), under(h('span', { class: 'muted' }, moment(call.placed_at)))],
      },
      { title: t('column.at'), sort: (call) => call.seq, descends: true, cell: (call) => moment(call.placed_at), className: 'time wide-3' },
      { title: t('column.why'), cell: whyEnded, className: 'wide-3 why' },
      { title: t('column.caller'), sort: (call) => call.caller_did, cell: (call) => h('span', { class: 'mono' }, call.caller_did), className: 'wide-4' },
      { title: t('column.account'), sort: (call) => call.account_id, cell: (call) => accountLink(call.account_id), className: 'wide-4 clip' },
      { title: t('column.dialect'), sort: (call) => call.dialect, cell: (call) => h('code', {}, call.dialect), className: 'wide-5' },
    ],
    fields: [
      ...fieldsNamed('seq', 'verification_call_uuid', 'account_id', 'dialect', 'method', 'login_did', 'caller_did', 'code',
        'country_id', 'price', 'state', 'outcome', 'q931_status', 'final_status', 'placed_at', 'ends_at', 'ended_at'),
      ...['country', 'number', 'price', 'outcome', 'cdr'].map((name) => [`explanation.${name}`, (call) => call.explanation[name]]),
      ['deliveries', (call) => (call.deliveries ?? []).map(({ id, state }) => `${id} ${state}`).join('; ')],
    ],
  },
  deliveries: {
    event: 'delivery',
    key: 'id',
    cursor: 'id',
    shows: DELIVERY_STATES,
    label: (show) => word('delivery', show),
    hasState: () => true,
    isShown: (delivery, show) => delivery.state === show,
    words: (delivery) => [delivery.verification_call_uuid, delivery.url, delivery.note],
    count: ({ deliveries, most }, show) => ({
      n: show ? deliveries[show] : sum(deliveries), isCut: show !== 'pending' && deliveries.delivered + deliveries.failed >= most - deliveries.pending,
    }),
    columns: () => [
      {
        title: t('column.delivery'), sort: (one) => one.id, descends: true,
        cell: (one) => h('a', { href: `#/deliveries/${one.id}`, class: 'mono', 'aria-label': t('delivery.title', { id: String(one.id) }) }, String(one.id)),
      },
      { title: t('column.state'), sort: (one) => one.state, cell: deliveryChip },
      { title: t('column.answer'), sort: (one) => one.attempts.at(-1)?.status ?? -1, cell: (one) => (one.attempts.length ? statusChip(one.attempts.at(-1).status) : '–') },
      { title: t('column.attempts'), sort: (one) => one.attempts.length, descends: true, cell: (one) => String(one.attempts.length), className: 'right wide-2' },
      { title: t('column.url'), sort: (one) => one.url, cell: (one) => h('span', { class: 'mono', title: one.url }, one.url), className: 'wide-2 clip' },
      { title: t('column.call'), cell: (one) => callLink(one.verification_call_uuid), className: 'wide-3' },
      { title: t('column.note'), cell: (one) => said(one.note, one.why), className: 'wide-4' },
      { title: t('column.last'), sort: (one) => one.attempts.at(-1)?.at ?? '', descends: true, cell: (one) => moment(one.attempts.at(-1)?.at), className: 'time wide-2' },
    ],
    fields: [
      ...fieldsNamed('id', 'verification_call_uuid', 'account_id', 'webhook', 'url', 'state', 'due_at', 'note'),
      ['attempts', (one) => one.attempts.length],
      ...['at', 'status', 'error', 'duration_s'].map((name) => [`last_attempt.${name}`, (one) => one.attempts.at(-1)?.[name]]),
      ['cdr', (one) => (one.cdr ? JSON.stringify(one.cdr) : '')],
    ],
  },
  requests: {
    event: 'request',
    key: 'seq',
    cursor: 'seq',
    shows: ['refused', 'accepted'],
    label: (show) => t(`requests.${show}`),
    isShown: (request, show) => (request.refusal !== null) === (show === 'refused'),
    words: (request) => [
      request.path, request.verification_call_uuid ?? '', request.refusal?.code ?? '', ...Object.values(request.parameters),
    ],
    count: ({ requests, most }, show) => ({ n: show ? requests[show] : sum(requests), isCut: sum(requests) >= most }),
    columns: () => [
      { title: t('column.request'), sort: (one) => `${one.method} ${one.path}`, cell: requestText, className: 'request break' },
      { title: t('column.status'), sort: (one) => one.status ?? -1, cell: (one) => (one.status === null ? t('requests.flight') : statusChip(one.status)) },
      { title: t('column.result'), cell: requestResult, className: 'break wide-2' },
      { title: t('column.at'), sort: (one) => one.seq, descends: true, cell: (one) => moment(one.at), className: 'time wide-2' },
      { title: t('column.account'), sort: (one) => one.account_id ?? '', cell: (one) => (one.account_id ? accountLabel(one.account_id) : '–'), className: 'wide-3 clip' },
    ],
    fields: [
      ...fieldsNamed('seq', 'at', 'method', 'path', 'dialect', 'account_id', 'status', 'fault', 'verification_call_uuid'),
      ...['code', 'message', 'parameter'].map((name) => [`refusal.${name}`, (one) => one.refusal?.[name]]),
      ['parameters', (one) => JSON.stringify(one.parameters)],
    ],
    rowClass: (one) => (one.refusal ? 'refused' : ''),
  },
};

function sum(counts) {
  return Object.values(counts).reduce((all, n) => all + n, 0);
}

function under(content) {
  return h('span', { class: 'under' }, content);
}

/** The worst first: a failed CDR, one that is pending, one that was delivered, none. */
function worst(call) {
  const states = (call.deliveries ?? []).map((delivery) => delivery.state);
  const place = ['failed', 'pending', 'delivered'].findIndex((state) => states.includes(state));
  return place < 0 ? 3 : place;
}

/** In a few words why the call ended so and why it has no CDR; in whole sentences if pointed at, as in its panel. */
function whyEnded(call) {
  const sentences = h('span', {}, joined(whys(call.explanation, 'outcome', 'cdr'), '; '));
  const words = ['outcome', 'cdr'].flatMap((about) => call.explanation.reasons.filter(({ code }) => code.startsWith(`${about}_`)))
    .map(({ code, values }) => inShort(code, values));
  return words.includes(null) || !words.length ? sentences : h('span', { title: sentences.textContent }, words.join('; '));
}

/** A reason without what other columns say; null if it is newer than the page. */
function inShort(code, values) {
  const known = Object.hasOwn(SHORT, code) ? SHORT[code] : null;
  return known && t(`short.${known}`, { ...values, n: String(values.n) });
}

/** The newest calls, a few of them, as a feed. */
export function newestCalls(accounts) {
  const kind = KINDS.calls;
  const feed = new Feed({
    path: 'calls', key: kind.key, cursor: kind.cursor, columns: kind.columns().map(({ sort, ...column }) => column),
    caption: t('overview.newest'), merge: kind.merge, size: FEW, empty: () => empty('calls', accounts),
  });
  feed.pager.remove();
  feed.applyAll = (batch) => applyBatch(feed, kind, batch);
  return feed;
}

/** Show what has changed. What becomes of a CDR changes its call too. */
function applyBatch(feed, kind, batch) {
  if (kind === KINDS.calls) feed.apply(withDeliveries(feed.items, batch));
  else feed.apply(batch[kind.event]);
}

function withDeliveries(items, batch) {
  const changed = new Map(batch.call);
  const known = new Map(items.map((call) => [call.verification_call_uuid, call]));
  for (const { id, state, verification_call_uuid: uuid } of batch.delivery.values()) {
    const call = changed.get(uuid) ?? known.get(uuid);
    if (!call) continue;
    const before = call.deliveries ?? known.get(uuid)?.deliveries ?? [];
    const deliveries = [...before.filter((one) => one.id !== id), { id, state }].sort((a, b) => a.id - b.id);
    changed.set(uuid, { ...call, deliveries });
  }
  return changed;
}

function requestText(one) {
  const parameters = Object.entries(one.parameters).map(([name, value]) => `${name}=${value}`);
  return [
    h('span', { class: 'mono' }, `${one.method} ${one.path}`),
    parameters.length ? h('span', { class: 'mono muted block' }, parameters.join('  ')) : null,
    h('span', { class: 'under-narrow' }, requestResult(one)),
  ];
}

function requestResult(one) {
  return [
    one.refusal ? [h('code', {}, one.refusal.code), ' ', said(one.refusal.message, one.refusal.reason)] : null,
    one.verification_call_uuid ? callLink(one.verification_call_uuid) : null,
    one.fault ? h('span', { class: 'chip failed' }, t('requests.fault', { kind: one.fault })) : null,
  ];
}

/** A journal as a view. `route.query` has `account_id`, `show` and `find`. */
export async function listView(section, route) {
  const kind = KINDS[section];
  const accounts = (await get('accounts', { limit: 1000 })).items;
  learn(accounts);
  const title = t(`${section}.title`);
  const slot = h('div', {});
  const view = {
    section,
    title,
    query: { ...route.query },
    feed: null,
    node: null,
    load: () => view.feed.load(),
    apply: (batch) => (batch.stale ? view.feed.load() : applyBatch(view.feed, kind, batch)),
    close: () => {},
  };
  const pause = h('button', {
    type: 'button',
    on: {
      click: () => {
        view.feed.pause(!view.feed.isPaused);
        namePause();
      },
    },
  });
  const namePause = () => {
    pause.textContent = t(view.feed.isPaused ? 'feed.resume' : 'feed.pause');
    pause.classList.toggle('paused', view.feed.isPaused);
  };
  view.node = h('div', { class: 'list' },
    h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, title), exportButtons(section, () => view.feed, kind.fields)),
    h('div', { class: 'bar', role: 'search', 'aria-label': t('filter.label') }, filters(view, kind, accounts, refresh), pause),
    slot);
  makeFeed();
  return view;

  function makeFeed() {
    const { account_id: account, show, find } = view.query;
    const needle = (find ?? '').toLowerCase();
    const isFiltered = Boolean(show || needle);
    const own = account ? accounts.filter(({ id }) => String(id) === account) : accounts;
    const state = show && kind.hasState?.(show) ? show : null;
    view.feed = new Feed({
      path: section,
      query: { account_id: account, state },
      key: kind.key,
      cursor: kind.cursor,
      columns: kind.columns(),
      caption: title,
      rowClass: kind.rowClass,
      merge: kind.merge,
      total: needle ? null : async () => kind.count(await get('overview', { account_id: account }), show),
      matches: isFiltered
        ? (item) => (!show || kind.isShown(item, show)) && (!needle || kind.words(item).some((text) => text.toLowerCase().includes(needle)))
        : null,
      hasFilter: state !== null && !needle,
      empty: () => (isFiltered || (account && !own.length) ? emptyState(t('filter.none')) : empty(section, own)),
    });
    namePause();
    slot.replaceChildren(view.feed.node);
  }

  function refresh() {
    const query = Object.entries(view.query).filter(([, value]) => value);
    history.replaceState(null, '', `#/${section}${query.length ? `?${new URLSearchParams(query)}` : ''}`);
    makeFeed();
    view.feed.load();
  }
}

function filters(view, kind, accounts, refresh) {
  const set = (name, value) => {
    view.query[name] = value;
    refresh();
  };
  const shows = [['', t('filter.all')], ...kind.shows.map((show) => [show, kind.label(show)])];
  const parts = [selectField('show', {
    label: t('filter.show'), value: view.query.show ?? '', options: shows, on: { change: (event) => set('show', event.target.value) },
  })];
  const ids = accounts.map((account) => String(account.id));
  const chosen = view.query.account_id ?? '';
  if (chosen && !ids.includes(chosen)) ids.push(chosen);
  if (ids.length > 1) {
    parts.push(selectField('account_id', {
      label: t('filter.account'), value: chosen, options: [['', t('filter.all')], ...ids.map((id) => [id, accountLabel(id)])],
      on: { change: (event) => set('account_id', event.target.value) },
    }));
  }
  let timer = 0;
  parts.push(textField('find', {
    label: t('filter.find'), type: 'search', value: view.query.find ?? '',
    on: {
      input: (event) => {
        clearTimeout(timer);
        timer = setTimeout(() => set('find', event.target.value.trim()), FIND_PAUSE_MS);
      },
    },
  }));
  return parts.map((part) => part.node);
}

function empty(section, accounts) {
  if (!accounts.length) {
    return emptyState(t('empty.accounts'), h('p', {}, h('a', { href: '#/accounts' }, t('empty.open'))));
  }
  if (section === 'deliveries') {
    return emptyState(t('empty.deliveries'),
      h('p', {}, t('empty.subscribe'), ' ', h('a', { href: `#/accounts/${accounts[0].id}` }, t('account.title', { id: accountLabel(accounts[0].id) }))));
  }
  return emptyState(t(`empty.${section}`), h('p', {}, t('empty.paste')), command(curlFor(accounts[0].id)),
    h('p', {}, t('empty.or'), ' ', h('button', { type: 'button', on: { click: () => placeCall(accounts[0].id) } }, t('action.place'))));
}
