// An account's subscriptions: where its CDRs go, and what is in them.

import { at, getWithTag, send } from './api.js';
import { actionButton, confirmDialog, formDialog } from './dialogs.js';
import { h } from './dom.js';
import { areaField, checkField, checksField, readPairs, selectField, textField, writePairs } from './fields.js';
import { moment, t } from './i18n.js';
import { DEFAULT_VARIABLES, VARIABLES } from './words.js';

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
      h('th', { scope: 'col', class: 'wide-2' }, t('webhook.body')), h('th', { scope: 'col' }, t('column.actions')))),
    h('tbody', {}, account.webhooks.map((webhook) => h('tr', {},
      h('th', { scope: 'row', class: 'wide-2' }, String(webhook.n)),
      h('td', { class: 'mono break url' }, `${webhook.method} ${webhook.url}`),
      h('td', {}, h('span', { class: `chip ${webhook.enabled ? 'delivered' : 'failed'}` }, webhook.enabled ? t('webhook.on') : t('webhook.off')),
        webhook.disabled_at ? h('span', { class: 'muted block' }, t('webhook.since'), ' ', moment(webhook.disabled_at)) : null,
        webhook.failed_in_a_row ? h('span', { class: 'muted block' }, t('webhook.failed', { n: webhook.failed_in_a_row })) : null),
      h('td', { class: 'wide-2 mono' }, webhook.body.map((name) => h('span', { class: 'block' }, name)),
        Object.keys(webhook.constants).map((name) => h('span', { class: 'block break' }, name))),
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

/** CDRs go to the webhook again, and its failures are counted from 0. */
async function enableWebhook(accountId, n) {
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

async function editWebhook(accountId, n) {
  const isNew = n === null;
  const path = isNew ? at('accounts', accountId, 'webhooks') : at('accounts', accountId, 'webhooks', n);
  const { content: now, tag } = isNew ? { content: {}, tag: null } : await getWithTag(path);
  const headers = writePairs(now.headers ?? {}, ': ');
  const constants = writeConstants(now.constants ?? {});
  await formDialog({
    title: isNew ? t('webhooks.add') : t('webhook.edit', { n: String(n) }),
    isWide: true,
    fields: [
      textField('url', { label: t('column.url'), type: 'url', value: now.url ?? '', placeholder: 'http://localhost:8000/webhooks/mcn' }),
      selectField('method', { label: t('column.method'), value: now.method ?? 'POST', options: [['POST', 'POST'], ['GET', 'GET']] }),
      checksField('body', {
        label: t('webhook.body'), values: now.body ?? DEFAULT_VARIABLES,
        options: [...new Set([...VARIABLES, ...(now.body ?? [])])],
      }),
      areaField('headers', { label: t('webhook.headers'), hint: t('webhook.headers.hint'), value: headers, rows: 2 }),
      areaField('query', { label: t('webhook.query'), hint: t('webhook.pairs.hint'), value: writePairs(now.query ?? {}, '='), rows: 2 }),
      areaField('constants', { label: t('webhook.constants'), hint: t('webhook.pairs.hint'), value: constants, rows: 2 }),
      checkField('retry', { label: t('webhook.retry'), value: now.retry ?? true }),
      checkField('never_disable', { label: t('webhook.never_disable'), value: now.never_disable ?? false }),
      textField('cacert', { label: t('webhook.cacert'), hint: t('webhook.cacert.hint'), value: now.cacert ?? '' }),
      checkField('insecure', { label: t('webhook.insecure'), value: now.insecure ?? false }),
      isNew ? null : checkField('enabled', { label: t('webhook.enabled'), value: now.enabled }),
    ].filter(Boolean),
    submit: t('action.save'),
    act: async (values) => {
      const asked = { ...values, query: readPairs(values.query, '='), constants: readConstants(values.constants, constants, now.constants) };
      if (values.headers === headers) delete asked.headers; // their values are not shown, and stay as they are
      else asked.headers = readPairs(values.headers, ':');
      if (values.cacert === (now.cacert ?? '')) delete asked.cacert; // the file would be read again, and may be gone
      if (!isNew && values.enabled === now.enabled) delete asked.enabled; // switching it on forgets its failures
      await send(isNew ? 'POST' : 'PATCH', path, asked, tag);
      return t('saved');
    },
  });
}

/** Constants may be numbers and booleans: what is not text is written as JSON has it, and so is text that looks so. */
function writeConstants(constants) {
  return Object.entries(constants).map(([name, value]) => {
    const isPlain = typeof value === 'string' && !/^(true|false|-?\d+|".*")$/s.test(value) && !value.includes('\n');
    return `${name}=${isPlain ? value : JSON.stringify(value)}`;
  }).join('\n');
}

function readConstants(text, before, constants) {
  if (text === before) return constants ?? {};
  return Object.fromEntries(Object.entries(readPairs(text, '=')).map(([name, value]) => {
    try {
      return [name, /^(true|false|-?\d+|".*")$/s.test(value) ? JSON.parse(value) : value];
    } catch {
      return [name, value];
    }
  }));
}
