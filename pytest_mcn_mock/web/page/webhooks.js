// An account's subscriptions: where its CDRs go, and what is in them.

import { at, send } from './api.js';
import { actionButton, confirmDialog } from './dialogs.js';
import { h } from './dom.js';
import { moment, t } from './i18n.js';
import { editWebhook } from './webhookform.js';

/** The card of the subscriptions. */
export function webhooksSection(account) {
  return h('section', { class: 'card wide-card', 'aria-labelledby': 'webhooks' },
    h('div', { class: 'head' }, h('h2', { id: 'webhooks' }, t('webhooks.title')),
      h('button', { type: 'button', 'data-key': 'webhook-new', on: { click: () => editWebhook(account.id, null) } }, t('webhooks.add'))),
    account.webhooks.length ? table(account) : h('p', { class: 'muted' }, t('webhooks.none')));
}

function table(account) {
  return h('div', { class: 'table' }, h('table', {},
    h('caption', {}, t('webhooks.title')),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'wide-2' }, '№'),
      [t('column.url'), t('column.state')].map((title) => h('th', { scope: 'col' }, title)),
      h('th', { scope: 'col', class: 'wide-2' }, t('column.sent')), h('th', { scope: 'col' }, t('column.actions')))),
    h('tbody', {}, account.webhooks.map((webhook) => h('tr', {},
      h('th', { scope: 'row', class: 'wide-2' }, String(webhook.n)),
      h('td', { class: 'mono break url' }, `${webhook.method} ${webhook.url}`),
      h('td', {}, h('span', { class: `chip ${webhook.enabled ? 'delivered' : 'failed'}` }, webhook.enabled ? t('webhook.on') : t('webhook.off')),
        webhook.disabled_at ? h('span', { class: 'muted block' }, t('webhook.since'), ' ', moment(webhook.disabled_at)) : null,
        webhook.failed_in_a_row ? h('span', { class: 'muted block' }, t('webhook.failed', { n: webhook.failed_in_a_row })) : null),
      h('td', { class: 'wide-2' }, whatIsSent(webhook),
        webhook.filter.length ? h('span', { class: 'muted block' }, t('webhook.conditions', { n: webhook.filter.length })) : null,
        webhook.ignore_response ? h('span', { class: 'muted block' }, t('webhook.ignores')) : null),
      h('td', { class: 'stack' }, h('div', { class: 'buttons' },
        webhook.enabled ? null : actionButton(t('webhook.enable'), () => enableWebhook(account.id, webhook.n), {
          class: 'primary', 'data-key': `webhook-enable-${webhook.n}`, 'aria-label': t('webhook.enable.n', { n: String(webhook.n) }),
        }),
        actionButton(t('action.edit'), () => editWebhook(account.id, webhook.n), {
          'data-key': `webhook-${webhook.n}`, 'aria-label': t('webhook.edit', { n: String(webhook.n) }),
        }),
        h('button', {
          type: 'button', class: 'danger', 'data-key': `webhook-remove-${webhook.n}`,
          'aria-label': t('webhook.remove', { n: String(webhook.n) }), title: t('webhook.remove', { n: String(webhook.n) }), on: { click: () => removeWebhook(account.id, webhook) },
        }, '×'))))))));
}

function whatIsSent(webhook) {
  if (webhook.data_type === 'text') return [t('webhook.text'), h('span', { class: 'mono block clamp' }, webhook.template)];
  if (webhook.all_variables) return t('webhook.whole');
  return [...webhook.body, ...Object.keys(webhook.constants)].map((name) => h('span', { class: 'mono block break' }, name));
}

/** CDRs go to the webhook again, and its failures are counted from 0. */
export async function enableWebhook(accountId, n) {
  await send('PATCH', at('accounts', accountId, 'webhooks', n), { enabled: true });
  return t('webhook.enabled.again', { n: String(n) });
}

function removeWebhook(accountId, webhook) {
  return confirmDialog({
    title: t('webhook.remove', { n: String(webhook.n) }),
    text: t('webhook.remove.text', { url: webhook.url }),
    submit: t('action.remove'),
    act: async () => {
      await send('DELETE', at('accounts', accountId, 'webhooks', webhook.n));
      return t('webhook.removed');
    },
  });
}
