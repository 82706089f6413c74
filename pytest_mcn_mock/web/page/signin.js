// Where the server demands a token: the form that takes it. The browser then keeps a cookie that no script can read.

import { ApiError, send } from './api.js';
import { h } from './dom.js';
import { selectField, textField } from './fields.js';
import { LANGUAGES, speak, spoken, t } from './i18n.js';
import { chooseLanguage, rememberSignedIn } from './prefs.js';

/** The sign-in form; the page is loaded again once the token was right. `again()` shows it in another language. */
export function signInView(again) {
  const token = textField('token', { label: t('signin.token'), hint: t('signin.hint'), type: 'password', autocomplete: 'current-password' });
  const language = selectField('language', {
    label: t('language'), value: spoken(), options: Object.entries(LANGUAGES),
    on: {
      change: (event) => {
        chooseLanguage(event.target.value);
        speak(event.target.value);
        again();
      },
    },
  });
  for (const option of language.control.options) option.lang = option.value;
  const button = h('button', { type: 'submit', class: 'primary' }, t('signin.submit'));
  const form = h('form', { class: 'card signin', novalidate: true, on: { submit: onSubmit } },
    h('h1', { tabindex: '-1' }, t('signin.title')), token.node, h('div', { class: 'buttons' }, button), language.node);
  queueMicrotask(() => token.focus());
  return form;

  async function onSubmit(event) {
    event.preventDefault();
    token.clear();
    try {
      await send('POST', 'session', { token: token.read() });
      rememberSignedIn(true);
      location.reload();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      token.fail(error.message);
      token.focus();
    }
  }
}
