// One call: what it is and why, its timeline, and the deliveries of its CDR.

import { ApiError, at, get, send } from './api.js';
import { curlOfCall } from './connect.js';
import { deliveryDetails } from './delivery.js';
import { actionButton } from './dialogs.js';
import { h, refill } from './dom.js';
import { numberField } from './fields.js';
import { elapsed, moment, money, t, word } from './i18n.js';
import {
  accountLink, amount, attemptError, command, copyButton, deliveryChip, facts, isIgnored, joined, outcomeChip, said, statusChip, whys,
} from './parts.js';
import { enableWebhook } from './webhooks.js';
import { OUTCOMES } from './words.js';

/** A call as a panel. `addressOfList()` is where closing it leads. */
export function callPanel(uuid, addressOfList) {
  const node = h('section', { class: 'panel', 'aria-label': t('call.title') });
  const cause = numberField('q931_status', { label: t('complete.cause'), min: 1, max: 127, step: 1, inputmode: 'numeric' });
  cause.control.dataset.key = 'cause';
  let call = null;
  let deliveries = new Map();
  let hasCurl = false;
  let disabled = []; // the numbers of the account's webhooks that are disabled now

  const view = {
    title: uuid,
    node,
    async load() {
      const [found, pending, account] = await Promise.all([
        get(at('calls', uuid)), get('deliveries', { verification_call_uuid: uuid }),
        get(at('accounts', uuid.split('_').at(-1))).catch(() => null), // closed, or no call's uuid
      ]);
      disabled = disabledOf(account);
      call = found;
      deliveries = new Map(pending.items.map((delivery) => [delivery.id, delivery]));
      render();
    },
    async apply(batch) {
      if (batch.stale) {
        await view.load();
        return;
      }
      const changed = batch.call.get(uuid);
      const pending = [...batch.delivery.values()].filter((one) => one.verification_call_uuid === uuid);
      const account = call && batch.account.get(call.account_id);
      if (account) disabled = disabledOf(account);
      if (!call || (!changed && !pending.length && !account)) return;
      if (changed) call = changed;
      for (const delivery of pending) deliveries.set(delivery.id, delivery);
      render();
    },
    close: () => {},
  };
  return view;

  function render() {
    refill(node,
      h('div', { class: 'panel-head' },
        h('h2', { tabindex: '-1', class: 'mono' }, call.login_did), outcomeChip(call),
        h('a', { class: 'close', href: addressOfList(), 'data-key': 'close', 'aria-label': t('panel.close') }, '×')),
      call.state === 'ringing' ? completion() : null,
      facts([
        [t('column.uuid'), [h('span', { class: 'mono break' }, call.verification_call_uuid), copyButton(call.verification_call_uuid, t('copy.uuid'), { key: 'copy-uuid' })]],
        [t('column.account'), accountLink(call.account_id)],
        [t('column.method'), h('code', {}, call.method)],
        [t('column.dialect'), h('code', {}, call.dialect)],
        [t('column.caller'), h('span', { class: 'mono' }, call.caller_did)],
        [t('column.code'), [h('span', { class: 'mono' }, call.code), copyButton(call.code, t('copy.code'), { key: 'copy-code' })]],
        [t('column.price'), amount(call.price)],
        ['q931_status', call.q931_status === null ? null : String(call.q931_status)],
        ['final_status', call.final_status],
      ]),
      order(),
      h('h3', {}, t('call.timeline')),
      timeline(call, [...deliveries.values()]),
      h('h3', {}, t('call.why')),
      h('ul', { class: 'why' }, whys(call.explanation, 'country', 'number', 'price', 'outcome').map((why) => h('li', {}, why))),
      h('h3', {}, t('call.deliveries')),
      call.explanation.cdr ? h('p', { class: 'warning' }, joined(whys(call.explanation, 'cdr'), '; '), '. ', enableButtons(), h('a', { href: `#/accounts/${call.account_id}`, 'data-key': 'to-webhooks' }, t('call.webhooks'))) : null,
      deliveries.size || call.explanation.cdr ? [...deliveries.values()].map(deliveryBlock) : h('p', { class: 'muted' }, t('call.none')));
  }

  /** The order as a command: copied at a press, and then shown, because not every browser has a clipboard. */
  function order() {
    const shown = command(curlOfCall(call));
    shown.hidden = !hasCurl;
    const copy = copyButton(curlOfCall(call), '', { of: shown.querySelector('code'), label: t('copy.curl'), key: 'copy-curl' });
    copy.addEventListener('click', () => {
      hasCurl = true;
      shown.hidden = false;
    }, { capture: true });
    return h('div', { class: 'curl' }, copy, shown);
  }

  /** One press enables each webhook that did not get the CDR because it is disabled. */
  function enableButtons() {
    const missed = call.explanation.reasons.filter(({ code }) => code.startsWith('cdr_disabled')).map(({ values }) => values.n);
    return missed.filter((n) => disabled.includes(n)).map((n) => [actionButton(t('webhook.enable.n', { n: String(n) }), async () => {
      const said = await enableWebhook(call.account_id, n);
      disabled = disabled.filter((one) => one !== n);
      render();
      return said;
    }, { class: 'primary', 'data-key': `enable-${n}` }), ' ']);
  }

  function completion() {
    const finish = async (body) => {
      const ended = await send('POST', at('calls', uuid, 'complete'), body);
      if (call.state === 'ringing') {
        call = ended;
        render();
      }
      return t('complete.done', { outcome: word('outcome', ended.outcome) });
    };
    const byCause = actionButton(t('complete.by'), async () => {
      cause.clear();
      try {
        return await finish({ q931_status: cause.read() });
      } catch (error) {
        if (!(error instanceof ApiError) || error.parameter !== 'q931_status') throw error;
        cause.fail(error.message);
        cause.focus();
        return null;
      }
    }, { 'data-key': 'by-cause' });
    return h('fieldset', { class: 'complete' }, h('legend', {}, t('complete.title')),
      h('div', { class: 'choices' }, OUTCOMES.map((outcome) => actionButton(
        word('outcome', outcome), () => finish({ outcome }), { class: `outcome ${outcome}`, 'data-key': `finish-${outcome}` },
      ))),
      h('div', { class: 'choices' }, cause.node, byCause,
        actionButton(t('complete.planned'), () => finish({}), { 'data-key': 'as-planned' })));
  }
}

function disabledOf(account) {
  return (account?.webhooks ?? []).filter((webhook) => !webhook.enabled).map((webhook) => webhook.n);
}

function deliveryBlock(delivery) {
  return h('details', { class: 'delivery', 'data-key': `delivery-${delivery.id}` },
    h('summary', { 'data-key': `summary-${delivery.id}` }, deliveryChip(delivery), ' ', h('span', { class: 'mono break' }, delivery.url)),
    deliveryDetails(delivery));
}

/** The attempts of a delivery; of many the first and the last two, and how many are left out between them. */
function shownAttempts({ attempts }) {
  if (attempts.length <= 5) return attempts;
  return [attempts[0], { ...attempts[1], more: attempts.length - 3 }, ...attempts.slice(-2)];
}

/** What happened, in order: request, charge, ring, hang-up, and every attempt to deliver. */
function timeline(call, deliveries) {
  const start = Date.parse(call.placed_at);
  const after = (iso) => elapsed((Date.parse(iso) - start) / 1000);
  const step = (kind, iso, what, detail) => h('li', { class: kind },
    h('span', { class: 'when' }, iso ? [moment(iso, { exact: true }), h('span', { class: 'offset' }, ` +${after(iso)}`)] : null),
    h('span', { class: 'what' }, what), detail ? h('span', { class: 'detail' }, detail) : null);

  const steps = [
    step('request', call.placed_at, t('step.request'), h('code', {}, `${call.method} login_did=${call.login_did}`)),
    step('charge', call.placed_at, t('step.charge', { amount: money(call.price) }), joined(whys(call.explanation, 'price'), '; ')),
    step('ring', call.placed_at, t('step.ring'), h('span', { class: 'mono' }, `${call.caller_did} → ${call.login_did}`)),
  ];
  if (call.ended_at) {
    steps.push(step(`hangup ${call.outcome}`, call.ended_at, t('step.hangup', { outcome: word('outcome', call.outcome) }),
      joined(whys(call.explanation, 'outcome'), '; ')));
  } else {
    steps.push(step('pending', call.ends_at, call.ends_at ? t('step.ends') : t('step.held'), null));
  }
  const attempts = deliveries.flatMap((delivery) => shownAttempts(delivery).map((attempt) => ({ delivery, ...attempt })));
  attempts.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  for (const { delivery, at: when, number, status, error, more } of attempts) {
    steps.push(step(error ? 'cdr failed' : 'cdr', when,
      more ? t('step.more', { n: more }) : [t('step.cdr', { n: String(number) }), ' ', statusChip(status)],
      [h('span', { class: 'mono break' }, delivery.url), error && !more ? [' ', attemptError(status, error)] : null]));
  }
  for (const delivery of deliveries) {
    if (delivery.state === 'pending' && delivery.due_at) steps.push(step('pending', delivery.due_at, t('step.due'), h('span', { class: 'mono break' }, delivery.url)));
    if (isIgnored(delivery)) steps.push(step('cdr', null, t('step.ignored'), h('span', { class: 'mono break' }, delivery.url)));
    if (delivery.state === 'failed') steps.push(step('failed', null, t('step.failed'), [h('span', { class: 'mono break' }, delivery.url), ' ', said(delivery.note, delivery.why)]));
  }
  return h('ol', { class: 'timeline' }, steps);
}
