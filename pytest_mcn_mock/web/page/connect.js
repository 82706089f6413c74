// How an application reaches this server: base URLs, and orders as commands of curl.

import { SERVER } from './api.js';
import { h } from './dom.js';
import { t } from './i18n.js';
import { command, copyButton, curlFor } from './parts.js';
import { SERVICES } from './words.js';

const TOKEN = '"Authorization: Bearer $MCN_TOKEN"'; // never the token itself: commands end up in chats and tickets

/** The base URL of a dialect, as the reader's browser knows this server. */
function baseUrl(dialect) {
  return `${SERVER.slice(0, -1)}${SERVICES[dialect].base}`;
}

/** A text in quotes for a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** An order as a command of curl. */
function curl(dialect, method, accountId, parameters) {
  const url = `${SERVER}${SERVICES[dialect].paths[method].slice(1).replace('{account_id}', accountId)}`;
  if (dialect === 'paidmethods') {
    return `curl -X POST -H ${TOKEN} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(parameters))} ${quoted(url)}`;
  }
  return `curl -X POST -H ${TOKEN} ${quoted(`${url}?${new URLSearchParams(parameters)}`)}`;
}

/** The order of a call as a command of curl, with what was asked for and not with what was drawn. */
export function curlOfCall(call) {
  const parameters = { login_did: call.login_did };
  if (call.method === 'call_for_2fa') parameters.caller_did = call.caller_did;
  for (const { code, values } of call.explanation.reasons) {
    if (code === 'number_code') parameters.code = values.code;
    if (code === 'country_given') parameters.country_id = values.value;
  }
  return curl(call.dialect, call.method, String(call.account_id), parameters);
}

/** The foot of the page: the base URLs, and how to connect. */
export function connectFooter(accountId) {
  return [
    h('dl', { class: 'bases' }, Object.keys(SERVICES).map((dialect) => h('div', {},
      h('dt', {}, t('connect.base', { vendor: SERVICES[dialect].vendor })),
      h('dd', {}, h('code', { class: 'break' }, baseUrl(dialect)), copyButton(baseUrl(dialect), t('connect.copy', { what: baseUrl(dialect) })))))),
    h('details', { class: 'connect', 'data-key': 'connect' }, h('summary', {}, t('connect.title')),
      h('ol', {}, h('li', {}, t('connect.url')), h('li', {}, t('connect.token')), h('li', {}, t('connect.try'))),
      command(curlFor(accountId))),
  ];
}
