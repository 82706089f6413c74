// Dialogs: a form whose errors are shown where they are, and a question before what cannot be undone.

import { ApiError } from './api.js';
import { h, newId } from './dom.js';
import { t } from './i18n.js';

/** Tell everybody, also who only listens. */
export function announce(message) {
  const announcer = document.getElementById('announcer');
  announcer.textContent = message;
  announcer.classList.remove('shown');
  void announcer.offsetWidth; // so that the same words appear again
  announcer.classList.add('shown');
}

/** Tell who only listens: who looks has seen it. */
export function announceQuietly(message) {
  const announcer = document.getElementById('announcer');
  announcer.classList.remove('shown');
  announcer.textContent = message;
}

const PAUSE_MS = 250;

/** Ask for values and act on them. `act(values)` returns what to announce; a refusal is shown at its field, or above the
 * buttons, and the dialog stays. Resolves to whether it was done.
 *
 * A `preview` has a `node` beside the fields; when the values change, `load(values)` asks the server, and
 * `show(answer, error)` shows the answer or, if that is null, the refusal, which is at its field too. */
export function formDialog({ title, intro = null, fields, submit, isDanger = false, act, preview = null }) {
  return new Promise((resolve) => {
    let isDone = false;
    const heading = h('h2', { id: newId('dialog') }, title);
    const problem = h('p', { class: 'error', role: 'alert', hidden: true });
    const ok = h('button', { type: 'submit', class: isDanger ? 'danger' : 'primary' }, submit);
    const cancel = h('button', { type: 'button', on: { click: () => dialog.close() } }, t('dialog.cancel'));
    const form = h('form', { novalidate: true, on: { submit: onSubmit, ...(preview && { input: previewSoon }) } },
      heading,
      intro ? h('p', { class: 'intro' }, intro) : null,
      h('div', { class: 'sides' }, h('div', { class: 'fields' }, fields.map((one) => one.node)), preview?.node),
      problem,
      h('div', { class: 'buttons' }, ok, cancel));
    const dialog = h('dialog', { 'aria-labelledby': heading.id, class: preview ? 'with-preview' : null }, form);
    dialog.addEventListener('close', () => {
      dialog.remove();
      stopPreview();
      resolve(isDone);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (isDanger) cancel.focus();
    else fields[0]?.focus();
    let previews = 0;
    let timer = null;
    if (preview) previewSoon();

    function read() {
      return Object.fromEntries(fields.map((one) => [one.name, one.read()]));
    }

    function clear() {
      problem.hidden = true;
      for (const one of fields) one.clear?.();
    }

    function stopPreview() {
      previews += 1;
      clearTimeout(timer);
    }

    /** Preview the values when they have not changed for a moment. */
    function previewSoon() {
      stopPreview();
      timer = setTimeout(showPreview, PAUSE_MS, previews);
    }

    async function showPreview(turn) {
      let answer = null;
      let refusal = null;
      try {
        answer = await preview.load(read());
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        refusal = error;
      }
      if (turn !== previews) return;
      clear();
      if (refusal) fieldOf(refusal, fields)?.fail(refusal.message);
      preview.show(answer, refusal);
    }

    async function onSubmit(event) {
      event.preventDefault();
      if (ok.disabled) return;
      stopPreview();
      clear();
      ok.disabled = true;
      try {
        const message = await act(read());
        isDone = true;
        dialog.close();
        if (message) announce(message);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        showError(error, fields, problem);
      } finally {
        ok.disabled = false;
      }
    }
  });
}

/** The visible field that an error is about, if there is one. */
function fieldOf(error, fields) {
  const words = (error.parameter ?? '').split(/[.[\]]+/);
  const shown = fields.filter((one) => one.fail && !one.node.hidden);
  return shown.find((one) => one.name === error.parameter) ?? shown.find((one) => words.includes(one.name));
}

function showError(error, fields, problem) {
  const wrong = fieldOf(error, fields);
  const text = error.status === 412 ? t('error.changed') : error.message;
  if (wrong) {
    wrong.fail(text);
    wrong.focus();
  } else {
    problem.textContent = text;
    problem.hidden = false;
  }
}

/** Ask before something destructive. */
export function confirmDialog({ title, text, submit, act }) {
  return formDialog({ title, intro: text, fields: [], submit, isDanger: true, act });
}

/** A button that acts at once; what the server refuses is shown beside it. */
export function actionButton(label, act, attributes = {}) {
  const problem = h('span', { class: 'error', role: 'alert', hidden: true });
  const button = h('button', { type: 'button', ...attributes, on: { click: onClick } }, label);
  async function onClick() {
    problem.hidden = true;
    button.setAttribute('aria-disabled', 'true');
    try {
      const message = await act();
      if (message) announce(message);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.removeAttribute('aria-disabled');
    }
  }
  return h('span', { class: 'action' }, button, problem);
}
