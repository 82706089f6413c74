// One delivery of a CDR: the request, and every answer to it.

import { at, get, send } from './api.js';
import { actionButton } from './dialogs.js';
import { h, refill } from './dom.js';
import { moment, seconds, t } from './i18n.js';
import { accountLink, attemptError, bodyBlock, callLink, deliveryChip, facts, isIgnored, pairsTable, said, statusChip } from './parts.js';

/** A delivery as a panel. `addressOfList()` is where closing it leads. */
export function deliveryPanel(id, addressOfList) {
  const node = h('section', { class: 'panel', 'aria-label': t('delivery.title', { id }) });
  let delivery = null;
  const view = {
    title: t('delivery.title', { id }),
    node,
    async load() {
      delivery = await get(at('deliveries', id));
      render();
    },
    async apply(batch) {
      const changed = batch.delivery.get(Number(id));
      if (batch.stale) await view.load();
      else if (changed) {
        delivery = changed;
        render();
      }
    },
    close: () => {},
  };
  return view;

  function render() {
    refill(node,
      h('div', { class: 'panel-head' },
        h('h2', { tabindex: '-1' }, t('delivery.title', { id })), deliveryChip(delivery),
        h('a', { class: 'close', href: addressOfList(), 'data-key': 'close', 'aria-label': t('panel.close') }, '×')),
      facts([
        [t('column.url'), h('span', { class: 'mono break' }, delivery.url)],
        [t('column.account'), accountLink(delivery.account_id)],
        [t('column.call'), callLink(delivery.verification_call_uuid)],
      ]),
      deliveryDetails(delivery, 'h3'));
  }
}

const MAX_SHOWN = 4096;
const MAX_UNFOLDED = 3;

/** What was sent, and what came back for each attempt. `heading` is the element of the headings. */
export function deliveryDetails(delivery, heading = 'h4') {
  const attempts = delivery.attempts.map((attempt) => attemptBlock(attempt, heading));
  const earlier = attempts.length > MAX_UNFOLDED ? attempts.splice(0, attempts.length - 1) : [];
  return h('div', { class: 'details' },
    isIgnored(delivery) ? h('p', { class: 'warning' }, t('delivery.ignored.why')) : null,
    facts([
      [t('delivery.webhook'), String(delivery.webhook)],
      [t('delivery.due'), delivery.due_at && delivery.state === 'pending' ? moment(delivery.due_at) : null],
      [t('column.note'), delivery.note ? said(delivery.note, delivery.why) : null],
    ]),
    actionButton(t('action.resend'), async () => {
      await send('POST', at('deliveries', delivery.id, 'resend'), {});
      return t('delivery.resent', { id: String(delivery.id) });
    }, { 'data-key': `resend-${delivery.id}`, 'aria-label': t('delivery.resend', { id: String(delivery.id) }) }),
    delivery.request ? exchange(heading, t('delivery.request'), h('p', { class: 'mono break' }, `${delivery.request.method} ${delivery.request.url}`), delivery.request)
      : h('p', { class: 'muted' }, t('delivery.unsent')),
    earlier.length ? h('details', { class: 'earlier', 'data-key': `earlier-${delivery.id}` },
      h('summary', { 'data-key': `earlier-summary-${delivery.id}` }, t('delivery.earlier', { n: earlier.length })), h('div', { class: 'details' }, earlier)) : null,
    attempts);
}

function attemptBlock(attempt, heading) {
  return exchange(
    heading,
    t('delivery.attempt', { n: String(attempt.number) }),
    h('p', {}, statusChip(attempt.status), ' ', moment(attempt.at, { exact: true }), ' · ', seconds(attempt.duration_s),
      attempt.error ? [' · ', attemptError(attempt.status, attempt.error)] : null, attempt.sent_twice ? [' · ', t('delivery.sent_twice')] : null),
    attempt.response,
  );
}

function exchange(heading, title, line, message) {
  return h('div', { class: 'exchange' }, h(heading, {}, title), line,
    message ? [
      pairsTable(t('delivery.headers'), message.headers), bodyBlock(t('delivery.body'), message.body),
      message.body.length === MAX_SHOWN ? h('p', { class: 'hint' }, t('delivery.cut', { n: MAX_SHOWN })) : null,
    ] : null);
}
