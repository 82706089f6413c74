// What a person can do that is of no single view: place a call, money, time, accounts, and the way back.

import { at, get, send } from './api.js';
import { announce, confirmDialog, formDialog } from './dialogs.js';
import { areaField, checkField, numberField, selectField, textField } from './fields.js';
import { money, moment, seconds, t, word } from './i18n.js';
import { accountLabel, learn } from './names.js';
import { rememberSignedIn } from './prefs.js';
import { DIALECTS, MAGIC_NUMBERS, OUTCOMES } from './words.js';

/** Place a call, and go to it. */
export async function placeCall(accountId = null) {
  const accounts = (await get('accounts', { limit: 1000 })).items;
  learn(accounts);
  const ids = accounts.map((account) => String(account.id));
  const numbers = [...new Set(accounts.flatMap((account) => account.numbers))].slice(0, 50);
  const suggestions = [['79157777777', t('place.ordinary')], ...MAGIC_NUMBERS.map(([n, what]) => [n, what === 'held' ? t('place.held') : word('outcome', what)])];
  const method = selectField('method', {
    label: t('column.method'), value: 'flash_call', options: [['flash_call', 'flash_call'], ['call_for_2fa', 'call_for_2fa']],
    on: { change: () => adapt() },
  });
  const fields = {
    account: selectField('account_id', { label: t('column.account'), value: String(accountId ?? ids[0] ?? ''), options: ids.map((id) => [id, accountLabel(id)]) }),
    method,
    dialect: selectField('dialect', { label: t('column.dialect'), value: DIALECTS[0], options: DIALECTS.map((name) => [name, name]) }),
    login: textField('login_did', { label: t('place.login'), hint: t('place.login.hint'), inputmode: 'numeric', suggestions }),
    outcome: selectField('outcome', {
      label: t('column.outcome'), options: [['', t('place.outcome.rules')], ...OUTCOMES.map((one) => [one, word('outcome', one)])],
    }),
    cause: numberField('q931_status', { label: t('complete.cause'), hint: t('rule.cause.hint'), min: 1, max: 127, step: 1 }),
    code: textField('code', { label: t('place.code'), hint: t('place.code.hint'), inputmode: 'numeric', maxlength: 256 }),
    country: selectField('country_id', {
      label: t('place.country'), options: [['', t('place.country.auto')], ['643', t('place.country.643')], ['703', t('place.country.703')], ['398', t('place.country.398')]],
    }),
    caller: textField('caller_did', { label: t('place.caller'), hint: t('place.caller.hint'), inputmode: 'numeric', suggestions: numbers.map((n) => [n, '']) }),
  };
  function adapt() {
    const isFlash = method.read() === 'flash_call';
    fields.code.node.hidden = fields.country.node.hidden = !isFlash;
    fields.caller.node.hidden = isFlash;
  }
  adapt();
  let placed = null;
  await formDialog({
    title: t('action.place'),
    fields: [
      fields.login, fields.account, fields.outcome, fields.cause, fields.dialect, fields.method, fields.code, fields.country, fields.caller,
    ],
    submit: t('place.submit'),
    act: async (values) => {
      const isFlash = values.method === 'flash_call';
      const asked = { dialect: values.dialect, method: values.method, login_did: values.login_did };
      for (const name of isFlash ? ['code', 'country_id'] : ['caller_did']) if (values[name]) asked[name] = values[name];
      if (values.q931_status !== null) asked.q931_status = values.q931_status;
      else if (values.outcome) asked.outcome = values.outcome;
      placed = await send('POST', at('accounts', values.account_id, 'calls'), asked);
      return t('place.done', { number: placed.login_did, amount: money(placed.price) });
    },
  });
  if (placed) location.hash = `#/calls/${encodeURIComponent(placed.verification_call_uuid)}`;
}

/** An amount as the admin API takes it: people also type a comma. */
const roubles = (text) => text.replace(',', '.');

/** Add money to an account. */
export function topUp(account) {
  return formDialog({
    title: t('topup.title', { id: accountLabel(account.id) }),
    intro: t('topup.now', { amount: money(account.balance) }),
    fields: [textField('amount', { label: t('topup.amount'), value: '10.00', inputmode: 'decimal' })],
    submit: t('action.topup'),
    act: async ({ amount }) => {
      const changed = await send('POST', at('accounts', account.id, 'top_up'), { amount: roubles(amount) });
      return t('topup.done', { amount: money(changed.balance) });
    },
  });
}

/** Set the balance of an account, or make it unlimited. */
export function setBalance(account) {
  return formDialog({
    title: t('balance.title', { id: accountLabel(account.id) }),
    fields: [
      textField('balance', { label: t('balance.new'), value: account.balance, inputmode: 'decimal' }),
      checkField('unlimited', { label: t('balance.unlimited'), hint: t('balance.unlimited.hint'), value: account.unlimited }),
    ],
    submit: t('action.set'),
    act: async ({ balance, unlimited }) => {
      const changed = await send('PATCH', at('accounts', account.id), { balance: unlimited ? 'unlimited' : roubles(balance) });
      return t('topup.done', { amount: money(changed.balance) });
    },
  });
}

/** Change what is connected to an account and what it pays. `tag` is the version that the person has seen. */
export function editAccount(account, tag) {
  const { tariff } = account;
  const { paidmethods: paid } = tariff;
  return formDialog({
    title: t('edit.title', { id: accountLabel(account.id) }),
    fields: [
      textField('name', { label: t('account.name'), hint: t('account.name.hint'), value: account.name, maxlength: 100 }),
      areaField('numbers', { label: t('edit.numbers'), hint: t('edit.numbers.hint'), value: account.numbers.join('\n'), rows: 4 }),
      textField('credit', { label: t('edit.credit'), hint: t('edit.credit.hint'), value: account.credit, inputmode: 'decimal' }),
      textField('tariff.flash_call.643', { label: t('edit.flash_643'), value: tariff.flash_call['643'], inputmode: 'decimal' }),
      textField('tariff.flash_call.703', { label: t('edit.flash_703'), value: tariff.flash_call['703'], inputmode: 'decimal' }),
      textField('tariff.call_for_2fa', { label: t('edit.call_for_2fa'), value: tariff.call_for_2fa, inputmode: 'decimal' }),
      textField('tariff.paidmethods.flash_call.643', { label: t('edit.paid_643'), value: paid.flash_call['643'], inputmode: 'decimal' }),
      textField('tariff.paidmethods.flash_call.398', { label: t('edit.paid_398'), value: paid.flash_call['398'], inputmode: 'decimal' }),
      textField('tariff.paidmethods.call_for_2fa', { label: t('edit.paid_2fa'), value: paid.call_for_2fa, inputmode: 'decimal' }),
    ],
    submit: t('action.save'),
    act: async (values) => {
      const price = (name) => roubles(values[`tariff.${name}`]);
      await send('PATCH', at('accounts', account.id), {
        name: values.name,
        numbers: values.numbers.split(/[\s,;]+/).filter(Boolean),
        credit: roubles(values.credit),
        tariff: {
          call_for_2fa: price('call_for_2fa'),
          flash_call: { 643: price('flash_call.643'), 703: price('flash_call.703') },
          paidmethods: {
            call_for_2fa: price('paidmethods.call_for_2fa'),
            flash_call: { 643: price('paidmethods.flash_call.643'), 398: price('paidmethods.flash_call.398') },
          },
        },
      }, tag);
      return t('saved');
    },
  });
}

/** Open an account, and go to it. */
export async function openAccount() {
  let opened = null;
  await formDialog({
    title: t('open.title'),
    fields: [
      textField('name', { label: t('account.name'), hint: t('account.name.hint'), maxlength: 100 }),
      numberField('id', { label: t('open.id'), hint: t('open.id.hint'), min: 1, step: 1 }),
      textField('token', { label: t('open.token'), hint: t('open.token.hint') }),
      textField('balance', { label: t('open.balance'), value: '100.00', inputmode: 'decimal' }),
      checkField('unlimited', { label: t('balance.unlimited'), hint: t('open.unlimited.hint') }),
      textField('credit', { label: t('edit.credit'), hint: t('edit.credit.hint'), value: '0.00', inputmode: 'decimal' }),
      areaField('numbers', { label: t('edit.numbers'), hint: t('edit.numbers.hint'), rows: 2 }),
    ],
    submit: t('action.open'),
    act: async ({ name, id, token, balance, unlimited, credit, numbers }) => {
      const asked = {
        name,
        balance: unlimited ? 'unlimited' : roubles(balance) || '0.00',
        credit: roubles(credit) || '0.00',
        numbers: numbers.split(/[\s,;]+/).filter(Boolean),
      };
      if (id !== null) asked.id = id;
      if (token) asked.token = token;
      opened = await send('POST', 'accounts', asked);
      learn([opened]);
      return t('open.done', { id: accountLabel(opened.id) });
    },
  });
  if (!opened) return;
  location.hash = `#/accounts/${opened.id}`;
  if (opened.token) await showToken(opened);
}

function showToken(account) {
  return formDialog({
    title: t('token.title', { id: accountLabel(account.id) }),
    intro: t('token.text'),
    fields: [textField('token', { label: t('open.token'), value: account.token, readonly: true })],
    submit: t('dialog.done'),
    act: async () => null,
  });
}

/** Close an account, and go to the others. */
export async function closeAccount(account) {
  const isClosed = await confirmDialog({
    title: t('close.title', { id: accountLabel(account.id) }),
    text: t('close.text'),
    submit: t('action.close'),
    act: async () => {
      await send('DELETE', at('accounts', account.id));
      return t('close.done', { id: accountLabel(account.id) });
    },
  });
  if (isClosed) location.hash = '#/accounts';
}

/** Let calls ring until they are finished manually, or not. */
export async function holdCalls(account, isHeld) {
  await send('PATCH', at('accounts', account.id), { calls_held: isHeld });
  return isHeld ? t('hold.on') : t('hold.off');
}

/** Put the clock forward. */
export function advanceClock() {
  return formDialog({
    title: t('clock.title'),
    intro: t('clock.text'),
    fields: [numberField('seconds', { label: t('clock.seconds'), value: 30, min: 0 })],
    submit: t('action.advance'),
    act: async (values) => {
      const { now } = await send('POST', 'clock/advance', { seconds: values.seconds });
      return t('clock.done', { seconds: seconds(values.seconds ?? 0), now: moment(now).textContent });
    },
  });
}

/** Back to the configured state. */
export async function reset() {
  const isDone = await confirmDialog({
    title: t('reset.title'),
    text: t('reset.text'),
    submit: t('action.reset'),
    act: async () => {
      await send('POST', 'reset', {});
      return t('reset.done');
    },
  });
  if (isDone && location.hash.split('/').length > 2) location.hash = '#/calls';
}

/** Sign out, where a token is needed to sign in. */
export async function signOut() {
  await send('DELETE', 'session');
  rememberSignedIn(false);
  announce(t('signin.out'));
  document.dispatchEvent(new Event('signedout'));
}
