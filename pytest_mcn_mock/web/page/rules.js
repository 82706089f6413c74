// An account's outcome rules and faults: how calls end, and what goes wrong.

import { at, getWithTag, send } from './api.js';
import { actionButton, formDialog } from './dialogs.js';
import { h } from './dom.js';
import { checkField, numberField, selectField, textField } from './fields.js';
import { number, seconds, t, word } from './i18n.js';
import { FAULTS, OUTCOMES } from './words.js';

/** The card of the outcome rules. */
export function outcomesSection(account) {
  const rules = account.outcomes;
  const change = (make) => changeList(account.id, 'outcomes', make);
  return h('section', { class: 'card wide-card', 'aria-labelledby': 'outcomes' },
    h('div', { class: 'head' }, h('h2', { id: 'outcomes' }, t('rules.title')),
      h('button', { type: 'button', 'data-key': 'rule-new', on: { click: () => editRule(account.id, null) } }, t('rules.add'))),
    h('p', { class: 'hint' }, t('rules.hint')),
    rules.length ? listTable(t('rules.title'), [t('rule.pattern'), t('rule.ends'), t('rule.delay')], rules.map((rule, index) => ({
      cells: [
        h('code', {}, rule.login_did),
        `${word('outcome', rule.outcome)} (${rule.q931_status})`,
        rule.delay_s === null ? t('rule.default') : seconds(rule.delay_s),
      ],
      buttons: [
        button('rule-edit', index, t('action.edit'), t('rule.edit', { n: String(index + 1) }), () => editRule(account.id, index)),
        index ? button('rule-up', index, '↑', t('rule.up', { n: String(index + 1) }), () => change((items) => move(items, index))) : null,
        button('rule-remove', index, '×', t('rule.remove', { n: String(index + 1) }),
          () => change((items) => items.filter((_, i) => i !== index))),
      ],
    })), 2) : h('p', { class: 'muted' }, t('rules.none')));
}

/** The card of the faults. */
export function faultsSection(account) {
  const faults = account.faults;
  const change = (make) => changeList(account.id, 'faults', make);
  return h('section', { class: 'card', 'aria-labelledby': 'faults' },
    h('div', { class: 'head' }, h('h2', { id: 'faults' }, t('faults.title')),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', 'data-key': 'fault-new', on: { click: () => addFault(account.id) } }, t('faults.add')),
        faults.length ? actionButton(t('faults.clear'), () => change(() => []), { 'data-key': 'fault-clear' }) : null)),
    faults.length ? listTable(t('faults.title'), [t('fault.kind'), t('fault.times'), t('fault.details')], faults.map((fault, index) => ({
      cells: [
        [word('fault.kind', fault.kind), ' ', h('code', {}, fault.kind)],
        fault.times === null ? t('fault.always') : t('fault.more', { n: fault.times }),
        faultDetails(fault),
      ],
      buttons: [button('fault-remove', index, '×', t('fault.remove', { n: String(index + 1) }),
        () => change((items) => items.filter((_, i) => i !== index)))],
    }))) : h('p', { class: 'muted' }, t('faults.none')));
}

function faultDetails(fault) {
  const isOfCdr = fault.kind.startsWith('cdr_');
  return [
    fault.probability < 1 ? t('fault.chance', { percent: number(fault.probability * 100) }) : null,
    fault.kind === 'status' ? `HTTP ${fault.status}` : null,
    fault.delay_s ? seconds(fault.delay_s) : null,
    fault.jitter_s ? t('fault.jitter', { seconds: seconds(fault.jitter_s) }) : null,
    isOfCdr || fault.accepted ? null : t('fault.refused'),
  ].filter(Boolean).join(' · ') || '–';
}

/** `wide` is the column that a narrow page leaves out. */
function listTable(caption, titles, rows, wide = null) {
  const classOf = (index) => (index === wide ? 'wide-2' : null);
  return h('div', { class: 'table' }, h('table', {},
    h('caption', {}, caption),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'wide-2' }, '№'),
      titles.map((title, index) => h('th', { scope: 'col', class: classOf(index) }, title)),
      h('th', { scope: 'col' }, t('column.actions')))),
    h('tbody', {}, rows.map(({ cells, buttons }, row) => h('tr', {},
      h('th', { scope: 'row', class: 'wide-2' }, String(row + 1)),
      cells.map((cell, index) => h('td', { class: classOf(index) }, cell)),
      h('td', {}, h('div', { class: 'buttons' }, buttons)))))));
}

function button(key, index, text, label, act) {
  return actionButton(text, act, { 'data-key': `${key}-${index}`, 'aria-label': label, title: label });
}

/** Change a list as it is on the server now, unless somebody else is changing it at the same time. */
async function changeList(accountId, name, make) {
  const path = at('accounts', accountId, name);
  const { content, tag } = await getWithTag(path);
  await send('PUT', path, { items: make(content.items) }, tag);
  return t('saved');
}

function move(items, index) {
  const moved = [...items];
  [moved[index - 1], moved[index]] = [moved[index], moved[index - 1]];
  return moved;
}

async function editRule(accountId, index) {
  const path = at('accounts', accountId, 'outcomes');
  const { content, tag } = await getWithTag(path);
  const now = index === null ? null : content.items[index];
  if (index !== null && !now) throw new RangeError('the rule is gone');
  const isCause = now?.outcome === 'unavailable';
  await formDialog({
    title: now ? t('rule.edit', { n: String(index + 1) }) : t('rules.add'),
    fields: [
      textField('login_did', { label: t('rule.pattern'), hint: t('rule.pattern.hint'), value: now?.login_did ?? '*' }),
      selectField('outcome', { label: t('column.outcome'), value: now?.outcome ?? 'answered', options: OUTCOMES.map((one) => [one, word('outcome', one)]) }),
      numberField('q931_status', { label: t('complete.cause'), hint: t('rule.cause.hint'), value: isCause ? now.q931_status : '', min: 1, max: 127, step: 1 }),
      numberField('delay_s', { label: t('rule.delay'), hint: t('rule.delay.hint'), value: now?.delay_s, min: 0 }),
    ],
    submit: t('action.save'),
    act: async ({ login_did: pattern, outcome, q931_status: cause, delay_s: delay }) => {
      const rule = { login_did: pattern, ...(cause === null ? { outcome } : { q931_status: cause }) };
      if (delay !== null) rule.delay_s = delay;
      // A new one goes first, for the first that matches wins.
      const items = now ? content.items.with(index, rule) : [rule, ...content.items];
      await send('PUT', path, { items }, tag);
      return t('saved');
    },
  });
}

async function addFault(accountId) {
  const path = at('accounts', accountId, 'faults');
  const { content, tag } = await getWithTag(path);
  const status = numberField('status', { label: t('fault.status'), value: 503, min: 500, max: 599, step: 1 });
  const accepted = checkField('accepted', { label: t('fault.accepted'), hint: t('fault.accepted.hint'), value: true });
  const kind = selectField('kind', {
    label: t('fault.kind'), value: 'status', options: FAULTS.map((one) => [one, word('fault.kind', one)]), on: { change: () => adapt() },
  });
  const delay = numberField('delay_s', { label: t('fault.delay'), value: '', min: 0 });
  const jitter = numberField('jitter_s', { label: t('fault.jitter.label'), value: '', min: 0 });
  function adapt() {
    const isTimed = ['delay', 'drip', 'cdr_late'].includes(kind.read());
    status.node.hidden = kind.read() !== 'status';
    accepted.node.hidden = kind.read().startsWith('cdr_');
    delay.node.hidden = jitter.node.hidden = !isTimed;
  }
  adapt();
  await formDialog({
    title: t('faults.add'),
    fields: [
      kind,
      numberField('times', { label: t('fault.times.label'), hint: t('fault.times.hint'), value: 1, min: 1, step: 1 }),
      numberField('percent', { label: t('fault.percent'), value: 100, min: 0, max: 100 }),
      status, delay, jitter, accepted,
    ],
    submit: t('faults.submit'),
    act: async (values) => {
      const fault = {
        kind: values.kind, times: values.times, probability: (values.percent ?? 100) / 100, accepted: values.accepted,
      };
      if (values.status !== null) fault.status = values.status;
      if (!delay.node.hidden) Object.assign(fault, { delay_s: values.delay_s ?? 0, jitter_s: values.jitter_s ?? 0 });
      await send('PUT', path, { items: [...content.items, fault] }, tag);
      return t('fault.on', { kind: word('fault.kind', values.kind) });
    },
  });
}
