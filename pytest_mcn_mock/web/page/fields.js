// Fields of a form: a label, a hint, a control, and a place for what is wrong with it.

import { h, newId } from './dom.js';

function field(name, control, { label, hint, read, wrap = 'p' }) {
  const id = newId('field');
  const hintNode = hint ? h('span', { class: 'hint', id: `${id}-hint` }, hint) : null;
  const problem = h('span', { class: 'problem', id: `${id}-problem`, role: 'alert', hidden: true });
  const described = [hint ? `${id}-hint` : null, `${id}-problem`].filter(Boolean).join(' ');
  control.id = id;
  control.setAttribute('aria-describedby', described);
  const node = h(wrap, { class: 'field' }, h('label', { for: id }, label), control, hintNode, problem);
  return {
    name,
    node,
    control,
    read: read ?? (() => control.value.trim()),
    fail(message) {
      control.setAttribute('aria-invalid', 'true');
      problem.textContent = message;
      problem.hidden = false;
    },
    clear() {
      control.removeAttribute('aria-invalid');
      problem.hidden = true;
    },
    focus: () => control.focus(),
  };
}

/** One line of text. `suggestions` are `[value, what it is]`. */
export function textField(name, { label, hint, value = '', suggestions = null, ...attributes }) {
  const control = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', name, value, ...attributes });
  const made = field(name, control, { label, hint });
  if (suggestions) {
    const list = h('datalist', { id: newId('list') }, suggestions.map(([v, text]) => h('option', { value: v }, text)));
    control.setAttribute('list', list.id);
    made.node.append(list);
  }
  return made;
}

/** A number; an empty field is null. */
export function numberField(name, { label, hint, value = '', ...attributes }) {
  const control = h('input', { type: 'number', name, value: value ?? '', step: 'any', ...attributes });
  return field(name, control, { label, hint, read: () => (control.value === '' ? null : Number(control.value)) });
}

/** One of several. `options` are `[value, text]`. */
export function selectField(name, { label, hint, value = '', options, on }) {
  const control = h('select', { name, on }, options.map(([v, text]) => h('option', { value: v }, text)));
  control.value = value;
  return field(name, control, { label, hint, read: () => control.value });
}

/** Several lines of text. */
export function areaField(name, { label, hint, value = '', rows = 3 }) {
  const control = h('textarea', { name, rows, spellcheck: 'false', autocomplete: 'off', value });
  return field(name, control, { label, hint, read: () => control.value });
}

/** Yes or no. */
export function checkField(name, { label, hint, value = false }) {
  const made = field(name, h('input', { type: 'checkbox', name, checked: value }), { label, hint });
  made.node.classList.add('check');
  made.read = () => made.control.checked;
  return made;
}

/** A group of controls as a field; `read` gives its value, and the focus goes to the first control. */
export function groupField(name, { label, hint, className, content, read }) {
  const id = newId('group');
  const problem = h('span', { class: 'problem', id: `${id}-problem`, role: 'alert', hidden: true });
  const hintNode = hint ? h('span', { class: 'hint', id: `${id}-hint` }, hint) : null;
  const described = [hint ? `${id}-hint` : null, `${id}-problem`].filter(Boolean).join(' ');
  const node = h('fieldset', { class: `field ${className}`, 'aria-describedby': described },
    h('legend', {}, label), hintNode, content, problem);
  return {
    name,
    node,
    read,
    fail(message) {
      problem.textContent = message;
      problem.hidden = false;
    },
    clear() {
      problem.hidden = true;
    },
    focus: () => node.querySelector('input, select, button')?.focus(),
  };
}

/** `name: value` lines as an object; a line without the mark has an empty value. */
export function readPairs(text, mark) {
  const pairs = text.split('\n').map((line) => line.trim()).filter(Boolean).map((line) => {
    const place = line.indexOf(mark);
    return place < 0 ? [line, ''] : [line.slice(0, place).trim(), line.slice(place + mark.length).trim()];
  });
  return Object.fromEntries(pairs);
}

/** An object as `name: value` lines. */
export function writePairs(pairs, mark) {
  return Object.entries(pairs).map(([name, value]) => `${name}${mark}${value}`).join('\n');
}
