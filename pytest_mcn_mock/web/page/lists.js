// The three journals: calls, deliveries and requests, each a live table under a bar of filters.

import { placeCall } from './actions.js';
import { get } from './api.js';
import { h } from './dom.js';
import { Feed } from './feed.js';
import { selectField, textField } from './fields.js';
import { moment, t, word } from './i18n.js';
import {
  accountLink, amount, callLink, command, curlFor, deliveryChip, emptyState, outcomeChip, said, statusChip,
} from './parts.js';
import { DELIVERY_STATES, OUTCOMES } from './words.js';

const FIND_PAUSE_MS = 250;

const KINDS = {
  calls: {
    event: 'call',
    key: 'verification_call_uuid',
    cursor: 'seq',
    shows: ['ringing', ...OUTCOMES],
    label: (show) => (show === 'ringing' ? t('call.ringing') : word('outcome', show)),
    isShown: (call, show) => (call.state === 'ringing' ? show === 'ringing' : call.outcome === show),
    words: (call) => [call.verification_call_uuid, call.login_did, call.caller_did],
    columns: () => [
      { title: t('column.number'), cell: (call) => callLink(call.verification_call_uuid, call.login_did) },
      { title: t('column.outcome'), cell: outcomeChip },
      { title: t('column.price'), cell: (call) => amount(call.price), className: 'right' },
      { title: t('column.at'), cell: (call) => moment(call.placed_at), className: 'time' },
      { title: t('column.code'), cell: (call) => h('span', { class: 'mono' }, call.code), className: 'wide-2' },
      { title: t('column.caller'), cell: (call) => h('span', { class: 'mono' }, call.caller_did), className: 'wide-3' },
      { title: t('column.why'), cell: (call) => said([call.explanation.outcome, call.explanation.cdr].filter(Boolean).join('; ')), className: 'wide-4 why' },
      { title: t('column.account'), cell: (call) => accountLink(call.account_id), className: 'wide-3' },
      { title: t('column.dialect'), cell: (call) => h('code', {}, call.dialect), className: 'wide-4' },
    ],
  },
  deliveries: {
    event: 'delivery',
    key: 'id',
    cursor: 'id',
    shows: DELIVERY_STATES,
    label: (show) => word('delivery', show),
    isShown: (delivery, show) => delivery.state === show,
    words: (delivery) => [delivery.verification_call_uuid, delivery.url, delivery.note],
    columns: () => [
      {
        title: t('column.delivery'),
        cell: (one) => h('a', { href: `#/deliveries/${one.id}`, class: 'mono', 'aria-label': t('delivery.title', { id: String(one.id) }) }, String(one.id)),
      },
      { title: t('column.state'), cell: deliveryChip },
      { title: t('column.answer'), cell: (one) => (one.attempts.length ? statusChip(one.attempts.at(-1).status) : '–') },
      { title: t('column.attempts'), cell: (one) => String(one.attempts.length), className: 'right wide-2' },
      { title: t('column.url'), cell: (one) => h('span', { class: 'mono', title: one.url }, one.url), className: 'wide-2 clip' },
      { title: t('column.call'), cell: (one) => callLink(one.verification_call_uuid), className: 'wide-3' },
      { title: t('column.note'), cell: (one) => said(one.note), className: 'wide-4' },
      { title: t('column.last'), cell: (one) => moment(one.attempts.at(-1)?.at), className: 'time wide-2' },
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
    columns: () => [
      { title: t('column.request'), cell: requestText, className: 'request break' },
      { title: t('column.status'), cell: (one) => (one.status === null ? t('requests.flight') : statusChip(one.status)) },
      { title: t('column.result'), cell: requestResult, className: 'break' },
      { title: t('column.at'), cell: (one) => moment(one.at), className: 'time wide-2' },
      { title: t('column.account'), cell: (one) => one.account_id ?? '–', className: 'wide-3 clip' },
    ],
    rowClass: (one) => (one.refusal ? 'refused' : ''),
  },
};

function requestText(one) {
  const parameters = Object.entries(one.parameters).map(([name, value]) => `${name}=${value}`);
  return [
    h('span', { class: 'mono' }, `${one.method} ${one.path}`),
    parameters.length ? h('span', { class: 'mono muted block' }, parameters.join('  ')) : null,
  ];
}

function requestResult(one) {
  return [
    one.refusal ? [h('code', {}, one.refusal.code), ' ', said(one.refusal.message)] : null,
    one.verification_call_uuid ? callLink(one.verification_call_uuid) : null,
    one.fault ? h('span', { class: 'chip failed' }, t('requests.fault', { kind: one.fault })) : null,
  ];
}

/** A journal as a view. `route.query` has `account_id`, `show` and `find`. */
export async function listView(section, route) {
  const kind = KINDS[section];
  const accounts = (await get('accounts', { limit: 1000 })).items;
  const title = t(`${section}.title`);
  const slot = h('div', {});
  const view = {
    section,
    title,
    query: { ...route.query },
    feed: null,
    node: null,
    load: () => view.feed.load(),
    apply: (batch) => (batch.stale ? view.feed.load() : view.feed.apply(batch[kind.event])),
    close: () => {},
  };
  const pause = h('button', {
    type: 'button', 'aria-pressed': 'false',
    on: {
      click: () => {
        const isPaused = pause.getAttribute('aria-pressed') !== 'true';
        pause.setAttribute('aria-pressed', String(isPaused));
        view.feed.pause(isPaused);
      },
    },
  }, t('feed.pause'));
  view.node = h('div', { class: 'list' },
    h('h1', { tabindex: '-1' }, title),
    h('div', { class: 'bar', role: 'search', 'aria-label': t('filter.label') }, filters(view, kind, accounts, refresh), pause),
    slot);
  makeFeed();
  return view;

  function makeFeed() {
    const { account_id: account, show, find } = view.query;
    const needle = (find ?? '').toLowerCase();
    const isFiltered = Boolean(show || needle);
    view.feed = new Feed({
      path: section,
      query: { account_id: account },
      key: kind.key,
      cursor: kind.cursor,
      columns: kind.columns(),
      caption: title,
      rowClass: kind.rowClass,
      matches: isFiltered
        ? (item) => (!show || kind.isShown(item, show)) && (!needle || kind.words(item).some((text) => text.toLowerCase().includes(needle)))
        : null,
      empty: () => (isFiltered || account ? emptyState(t('filter.none')) : empty(section, accounts)),
    });
    pause.setAttribute('aria-pressed', 'false');
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
      label: t('filter.account'), value: chosen, options: [['', t('filter.all')], ...ids.map((id) => [id, id])],
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
      h('p', {}, t('empty.subscribe'), ' ', h('a', { href: `#/accounts/${accounts[0].id}` }, t('account.title', { id: String(accounts[0].id) }))));
  }
  return emptyState(t(`empty.${section}`), h('p', {}, t('empty.paste')), command(curlFor(accounts[0].id)),
    h('p', {}, t('empty.or'), ' ', h('button', { type: 'button', on: { click: () => placeCall(accounts[0].id) } }, t('action.place'))));
}
