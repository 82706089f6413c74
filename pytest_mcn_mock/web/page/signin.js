// Where the server demands a token: the form that takes it. The browser then keeps a cookie that no script can read.

import { ApiError, send } from './api.js';
import { h } from './dom.js';
import { textField } from './fields.js';
import { t } from './i18n.js';
import { rememberSignedIn } from './prefs.js';

/** The sign-in form; the page is loaded again once the token was right. */
export function signInView() {
  const token = textField('token', { label: t('signin.token'), hint: t('signin.hint'), type: 'password', autocomplete: 'current-password' });
  const problem = h('p', { class: 'error', role: 'alert', hidden: true });
  const button = h('button', { type: 'submit', class: 'primary' }, t('signin.submit'));
  const form = h('form', { class: 'card signin', novalidate: true, on: { submit: onSubmit } },
    h('h1', { tabindex: '-1' }, t('signin.title')), token.node, problem, h('div', { class: 'buttons' }, button));
  queueMicrotask(() => token.focus());
  return form;

  async function onSubmit(event) {
    event.preventDefault();
    problem.hidden = true;
    try {
      await send('POST', 'session', { token: token.read() });
      rememberSignedIn(true);
      location.reload();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
      token.focus();
    }
  }
}
