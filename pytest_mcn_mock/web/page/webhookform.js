// The form of a webhook: the settings of the vendor's form, and a preview of what they send.

import { at, getWithTag, send } from './api.js';
import { formDialog } from './dialogs.js';
import { h, newId } from './dom.js';
import { areaField, checkField, groupField, readPairs, selectField, textField, writePairs } from './fields.js';
import { t, word } from './i18n.js';
import { bodyBlock, pairsTable, said } from './parts.js';
import { DEFAULT_VARIABLES, FILTER_OPERATORS, OUTCOMES, VARIABLES } from './words.js';

const EXAMPLE_URL = 'http://localhost:8000/webhooks/mcn';

/** Add a webhook to an account, or change the one of a number. */
export async function editWebhook(accountId, n) {
  const isNew = n === null;
  const path = isNew ? at('accounts', accountId, 'webhooks') : at('accounts', accountId, 'webhooks', n);
  const { content: now, tag } = isNew ? { content: {}, tag: null } : await getWithTag(path);
  const fields = makeFields(now, isNew);
  await formDialog({
    title: isNew ? t('webhooks.add') : t('webhook.edit', { n: String(n) }),
    fields,
    preview: makePreview(accountId, now),
    submit: t('action.save'),
    act: async (values) => {
      const asked = settings(values, now);
      if (values.headers === writePairs(now.headers ?? {}, ': ')) delete asked.headers; // *** stands for their values, which stay
      if (!isNew && values.enabled === now.enabled) delete asked.enabled; // enabling it forgets its failures
      await send(isNew ? 'POST' : 'PATCH', path, asked, tag);
      return t('saved');
    },
  });
}

function makeFields(now, isNew) {
  const method = selectField('method', { label: t('column.method'), value: now.method ?? 'POST', options: [['POST', 'POST'], ['GET', 'GET']] });
  const type = selectField('data_type', {
    label: t('webhook.type'), value: now.data_type ?? 'json', options: [['json', 'JSON'], ['text', t('webhook.type.text')]],
  });
  const all = checkField('all_variables', { label: t('webhook.all'), hint: t('webhook.all.hint'), value: now.all_variables ?? false });
  const body = variablesField(now.body ?? DEFAULT_VARIABLES);
  const values = selectField('values', {
    label: t('webhook.values'), value: now.values ?? 'typed', options: [['typed', t('webhook.values.typed')], ['text', t('webhook.values.text')]],
  });
  const template = templateField(now.template ?? '');
  const pairs = { variable: '${{number}}' };
  const constants = areaField('constants', {
    label: t('webhook.constants'), hint: t('webhook.pairs.hint', pairs), value: writeConstants(now.constants ?? {}), rows: 2,
  });
  // A field that does not count is hidden, unless it has a value that the server will object to.
  function arrange() {
    const isText = type.read() === 'text';
    const isWhole = all.read();
    all.node.hidden = isText && !isWhole;
    body.node.hidden = isText || isWhole;
    values.node.hidden = (isText || isWhole) && values.read() === 'typed';
    constants.node.hidden = (isText || isWhole) && !constants.read();
    template.node.hidden = !isText && !template.read();
  }
  for (const one of [type, all, values, constants, template]) one.control.addEventListener('change', arrange);
  arrange();
  return [
    textField('url', { label: t('column.url'), type: 'url', value: now.url ?? '', placeholder: EXAMPLE_URL }),
    method, type, all, body, values, template, constants,
    areaField('query', { label: t('webhook.query'), hint: t('webhook.pairs.hint', pairs), value: writePairs(now.query ?? {}, '='), rows: 2 }),
    areaField('headers', { label: t('webhook.headers'), hint: t('webhook.headers.hint', pairs), value: writePairs(now.headers ?? {}, ': '), rows: 2 }),
    checkField('retry', { label: t('webhook.retry'), hint: t('webhook.retry.hint'), value: now.retry ?? true }),
    checkField('ignore_response', { label: t('webhook.ignore'), hint: t('webhook.ignore.hint'), value: now.ignore_response ?? false }),
    filterField(now.filter ?? []),
    textField('cacert', { label: t('webhook.cacert'), hint: t('webhook.cacert.hint'), value: now.cacert ?? '' }),
    checkField('insecure', { label: t('webhook.insecure'), value: now.insecure ?? false }),
    isNew ? null : checkField('enabled', { label: t('webhook.enabled'), value: now.enabled }),
  ].filter(Boolean);
}

/** The values of the form as the server takes them. A text that is as it was keeps what the form cannot show. */
function settings(values, now) {
  const kept = (name, before, read) => (now[name] && values[name] === asShown(before) ? now[name] : read(values[name]));
  const asked = {
    ...values,
    template: kept('template', now.template, (text) => text || null),
    query: kept('query', writePairs(now.query ?? {}, '='), (text) => readPairs(text, '=')),
    headers: readPairs(values.headers, ':'),
    constants: kept('constants', writeConstants(now.constants ?? {}), readConstants),
  };
  if (values.cacert === (now.cacert ?? '')) delete asked.cacert; // the file would be read again, and may be gone
  return asked;
}

/** A text as a text area gives it back. */
function asShown(text) {
  return (text ?? '').replace(/\r\n?/g, '\n');
}

/** The variables to tick: they are sent in the order in which they were ticked. */
function variablesField(before) {
  const chosen = [...new Set(before)];
  const rows = VARIABLES.map((name) => {
    const place = h('span', { class: 'place', 'aria-hidden': 'true' });
    const box = h('input', {
      type: 'checkbox', name: 'body', value: name, id: newId('check'), checked: chosen.includes(name), on: { change: tick },
    });
    return { name, box, place, node: h('label', { for: box.id }, box, place, h('span', {}, h('code', {}, name), ' ', h('span', { class: 'hint' }, word('variable', name)))) };
  });
  function tick({ target }) {
    if (target.checked) chosen.push(target.value);
    else chosen.splice(chosen.indexOf(target.value), 1);
    number();
  }
  function number() {
    for (const { name, place } of rows) place.textContent = chosen.includes(name) ? String(chosen.indexOf(name) + 1) : '';
  }
  number();
  return groupField('body', {
    label: t('webhook.body'), hint: t('webhook.body.hint'), className: 'variables', read: () => [...chosen],
    content: h('div', { class: 'choice-list' }, rows.map((row) => row.node)),
  });
}

/** The text with variables in it. A click on a variable's name puts it in at the cursor. */
function templateField(before) {
  const made = areaField('template', { label: t('webhook.template'), hint: t('webhook.template.hint'), value: before, rows: 4 });
  const insert = (event, name) => {
    made.control.setRangeText(`\${{${name}}}`, made.control.selectionStart, made.control.selectionEnd, 'end');
    made.control.dispatchEvent(new Event('input', { bubbles: true }));
    if (event.detail) made.control.focus(); // a click; by keyboard one goes on to the next name
  };
  made.node.append(h('span', { class: 'choice-list names', role: 'group', 'aria-label': t('webhook.template.names') },
    VARIABLES.map((name) => h('button', { type: 'button', title: word('variable', name), on: { click: (event) => insert(event, name) } }, name))));
  return made;
}

/** The conditions, all of which must hold. */
function filterField(before) {
  const rows = [];
  const list = h('div', { class: 'conditions' });
  const add = h('button', { type: 'button', on: { click: () => { append({ variable: 'q931_status', operator: 'equals', value: '', not: false }).focus(); } } }, t('condition.add'));
  const tell = () => list.dispatchEvent(new Event('input', { bubbles: true }));

  function append(condition) {
    const shown = writeCondition(condition.value);
    const variable = h('select', { 'aria-label': t('condition.variable') }, VARIABLES.map((name) => h('option', { value: name }, name)));
    const negated = h('input', { type: 'checkbox', checked: condition.not });
    const operator = h('select', { 'aria-label': t('condition.operator'), on: { input: hint } },
      FILTER_OPERATORS.map((name) => h('option', { value: name }, word('condition', name))));
    const value = h('input', { type: 'text', 'aria-label': t('condition.value'), value: shown, autocomplete: 'off', spellcheck: 'false' });
    const remove = h('button', { type: 'button', class: 'danger', 'aria-label': t('condition.remove'), title: t('condition.remove'), on: { click: drop } }, '×');
    variable.value = condition.variable;
    operator.value = condition.operator;
    const row = {
      node: h('div', { class: 'condition' }, variable, h('label', {}, negated, t('condition.not')), operator, value, remove),
      read: () => ({
        variable: variable.value, operator: operator.value, not: negated.checked,
        value: operator.value === condition.operator && value.value === shown ? condition.value : readCondition(operator.value, value.value),
      }),
    };
    function hint() {
      value.placeholder = operator.value === 'in' ? '16, 17' : '16';
    }
    function drop() {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
      add.focus();
      tell();
    }
    hint();
    rows.push(row);
    list.append(row.node);
    tell();
    return variable;
  }
  before.forEach(append);
  return groupField('filter', {
    label: t('webhook.filter'), hint: t('webhook.filter.hint'), className: 'filter',
    content: [list, h('div', {}, add)], read: () => rows.map((row) => row.read()),
  });
}

/** The values of a condition with commas between them; as JSON if one has a comma itself. */
function writeCondition(value) {
  if (!Array.isArray(value)) return String(value);
  const texts = value.map(String);
  return texts.some((text) => /[,[]|^\s|\s$/.test(text)) ? JSON.stringify(value) : texts.join(', ');
}

function readCondition(operator, text) {
  if (operator !== 'in') return text.trim();
  if (text.trim().startsWith('[')) {
    try {
      return JSON.parse(text);
    } catch {
      // no JSON: a list as people write it
    }
  }
  return text.split(',').map((item) => item.trim()).filter(Boolean);
}

/** What the settings send, for a call that ended in a way to choose. */
function makePreview(accountId, now) {
  const outcome = selectField('preview_outcome', {
    label: t('preview.outcome'), options: [['', t('preview.as_ended')], ...OUTCOMES.map((one) => [one, word('outcome', one)])],
  });
  const content = h('div', { class: 'details' });
  const title = h('h3', { id: newId('preview') }, t('preview.title'));
  return {
    node: h('section', { class: 'preview', 'aria-labelledby': title.id }, title, outcome.node, content),
    load: (values) => send('POST', at('accounts', accountId, 'webhooks', 'preview'), {
      ...settings(values, now), url: values.url || EXAMPLE_URL, outcome: outcome.read() || null,
    }),
    show(sent, error) {
      if (error) {
        content.replaceChildren(h('p', { class: 'error' }, t('preview.none'), ' ', error.message));
        return;
      }
      content.replaceChildren(...[
        h('p', { class: 'hint' }, sent.made_up ? t('preview.made_up') : t('preview.call', { uuid: sent.verification_call_uuid })),
        sent.note ? h('p', { class: 'warning' }, t('preview.filtered'), ' ', said(sent.note, sent.why), '.') : null,
        h('p', { class: 'mono break' }, `${sent.method} ${sent.url}`),
        pairsTable(t('delivery.headers'), sent.headers),
        bodyBlock(t('delivery.body'), sent.body),
      ].filter(Boolean));
    },
  };
}

/** Constants may be numbers and booleans: what is not text is written as JSON has it, and so is text that looks so. */
function writeConstants(constants) {
  return Object.entries(constants).map(([name, value]) => {
    const isPlain = typeof value === 'string' && !/^(true|false|-?\d+|".*")$/s.test(value) && !value.includes('\n');
    return `${name}=${isPlain ? value : JSON.stringify(value)}`;
  }).join('\n');
}

function readConstants(text) {
  return Object.fromEntries(Object.entries(readPairs(text, '=')).map(([name, value]) => {
    try {
      return [name, /^(true|false|-?\d+|".*")$/s.test(value) ? JSON.parse(value) : value];
    } catch {
      return [name, value];
    }
  }));
}
