// The frame: header, routes by hash, and the events that go to whatever is shown.

import { accountView } from './account.js';
import { accountsView } from './accounts.js';
import { advanceClock, placeCall, reset, signOut } from './actions.js';
import { ApiError } from './api.js';
import { callPanel } from './call.js';
import { connectFooter } from './connect.js';
import { deliveryPanel } from './delivery.js';
import { announce } from './dialogs.js';
import { h, refill } from './dom.js';
import { listen } from './events.js';
import { selectField } from './fields.js';
import { LANGUAGES, speak, spoken, t } from './i18n.js';
import { listView } from './lists.js';
import { learn } from './names.js';
import { overviewView } from './overview.js';
import { THEMES, chooseLanguage, chooseTheme, chosenLanguage, chosenTheme, isSignedIn, showTheme } from './prefs.js';
import { signInView } from './signin.js';
import { countFailed, showIcon } from './tab.js';

const DEFAULT_ACCOUNT = '12345678'; // that of a server without a configuration, as in the vendor's examples
const SECTIONS = ['overview', 'calls', 'accounts', 'deliveries', 'requests'];
const header = document.getElementById('header');
const main = document.getElementById('main');
const footer = document.getElementById('footer');
const status = h('span', { class: 'status' });
let view = null; // the list, or the page
let panel = null; // beside the list
let panelId = null;
let isLive = null;
let stop = null;
let shows = 0;
let showing = null;
const failed = countFailed(() => showTitle());

function parse(hash) {
  const [path, search = ''] = hash.replace(/^#\/?/, '').split('?');
  const [section, ...rest] = path.split('/');
  let id = rest.join('/');
  try {
    id = decodeURIComponent(id);
  } catch {
    // not percent-encoded: as it is
  }
  return { section: SECTIONS.includes(section) ? section : 'overview', id, query: Object.fromEntries(new URLSearchParams(search)) };
}

function makeView(route) {
  if (route.section === 'overview') return overviewView();
  if (route.section !== 'accounts') return listView(route.section, route);
  return route.id ? accountView(route.id) : accountsView();
}

/** Show what the address says. */
function show(options) {
  showing = display(options);
  return showing;
}

/** The list stays where it is while panels come and go beside it. */
async function display({ isFirst = false, isAnew = false } = {}) {
  shows += 1;
  const turn = shows;
  const route = parse(location.hash);
  const hasPanel = ['calls', 'deliveries'].includes(route.section) && route.id !== '';
  const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  const keeps = !isAnew && view?.section === route.section && route.section !== 'accounts'
    && (hasPanel || panel !== null || isSame(view.query, route.query));
  try {
    if (!keeps) {
      const made = await makeView(route);
      await made.load();
      if (turn !== shows) return;
      view = made;
    }
    const wasPanelOf = keeps ? panelId : null; // its row is there only if the list is the same
    panel = null;
    panelId = null;
    if (hasPanel) {
      const filter = new URLSearchParams(view.query);
      if (!location.hash.includes('?') && filter.size) history.replaceState(null, '', `${location.hash}?${filter}`); // it survives the panel
      const made = route.section === 'calls' ? callPanel(route.id, addressOfList) : deliveryPanel(route.id, addressOfList);
      await made.load();
      if (turn !== shows) return;
      panel = made;
      panelId = route.id;
    }
    main.classList.toggle('has-panel', panel !== null);
    main.replaceChildren(...[view.node, panel?.node].filter(Boolean));
    markSelected();
    if (!isFirst) focusOn(wasPanelOf);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (turn !== shows || error.code === 'unauthorized') return;
    showError(error);
    if (!isFirst) focusOn(null);
  }
  renderHeader();
  refill(footer, connectFooter(shownAccount() ?? DEFAULT_ACCOUNT));
  showTitle();
}

/** The list behind a panel, with its filter. */
function addressOfList() {
  const filter = new URLSearchParams(Object.entries(view.query).filter(([, value]) => value));
  return `#/${view.section}${filter.size ? `?${filter}` : ''}`;
}

/** The title and the icon of the tab, which say how many deliveries have failed. */
function showTitle() {
  const title = panel?.title ?? view?.title ?? t('error.gone');
  document.title = `${failed.n ? `(${failed.n}) ` : ''}${title} – mcn-mock`;
  showIcon(failed.n);
}

function markSelected() {
  for (const row of main.querySelectorAll('tr.selected')) row.classList.remove('selected');
  if (panelId !== null) main.querySelector(`tr[data-id="${CSS.escape(panelId)}"]`)?.classList.add('selected');
}

function focusOn(wasPanelOf) {
  const row = panel === null && wasPanelOf !== null ? main.querySelector(`tr[data-id="${CSS.escape(wasPanelOf)}"] a`) : null;
  const target = panel?.node.querySelector('h2') ?? row ?? main.querySelector('h1');
  target?.focus();
}

function showError(error) {
  const { section, id } = parse(location.hash);
  const list = id ? section : 'calls';
  view = null;
  panel = null;
  main.classList.remove('has-panel');
  main.replaceChildren(h('div', { class: 'list' },
    h('h1', { tabindex: '-1' }, error.status === 404 ? t('error.gone') : t('error.title')),
    h('p', { class: 'error', role: 'alert' }, error.message),
    h('p', {}, h('button', { type: 'button', on: { click: () => show() } }, t('error.again')), ' ',
      h('a', { href: `#/${list}` }, t(`${list}.title`)))));
}

function renderHeader() {
  const route = parse(location.hash);
  const language = selectField('language', {
    label: t('language'), value: spoken(), options: Object.entries(LANGUAGES),
    on: {
      change: async (event) => {
        chooseLanguage(event.target.value);
        speak(event.target.value);
        await show({ isFirst: true, isAnew: true });
        header.querySelector('select[name=language]').focus();
      },
    },
  });
  const theme = selectField('theme', {
    label: t('theme'), value: chosenTheme(), options: THEMES.map((one) => [one, t(`theme.${one}`)]),
    on: { change: (event) => chooseTheme(event.target.value) },
  });
  for (const option of language.control.options) option.lang = option.value;
  const focused = header.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  renderStatus();
  header.replaceChildren(
    h('a', { class: 'skip', href: '#main', on: { click: skip } }, t('skip')),
    h('a', { class: 'brand', href: '#/overview' }, 'mcn-mock'),
    h('nav', { 'aria-label': t('nav') }, h('ul', {}, SECTIONS.map((section) => h('li', {}, h('a', {
      href: `#/${section}`, 'data-key': `nav-${section}`, 'aria-current': section === route.section ? 'page' : null,
    }, t(`${section}.title`)))))),
    h('div', { class: 'tools' },
      h('button', { type: 'button', class: 'primary', 'data-key': 'tool-place', on: { click: () => guarded(() => placeCall(shownAccount())) } }, t('action.place')),
      h('button', { type: 'button', 'data-key': 'tool-clock', on: { click: advanceClock } }, t('action.clock')),
      h('button', { type: 'button', 'data-key': 'tool-reset', on: { click: reset } }, t('action.reset'))),
    h('div', { class: 'prefs' }, status, language.node, theme.node,
      isSignedIn() ? h('button', { type: 'button', 'data-key': 'tool-out', on: { click: () => guarded(signOut) } }, t('signin.leave')) : null));
  if (focused) header.querySelector(`[data-key="${focused}"]`)?.focus();
}

/** The account that the person is looking at. */
function shownAccount() {
  const route = parse(location.hash);
  return route.section === 'accounts' ? route.id || null : view?.query.account_id ?? null;
}

/** An action of the header, which has no place of its own for what the server refuses. */
async function guarded(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    announce(error.message);
  }
}

function skip(event) {
  event.preventDefault(); // the hash is the route
  main.focus();
}

function renderStatus() {
  status.className = `status ${isLive ? 'live' : 'lost'}`;
  status.textContent = isLive === null ? t('status.connecting') : t(isLive ? 'status.live' : 'status.lost');
}

function start() {
  stop?.();
  failed.look();
  stop = listen(async (batch) => {
    try {
      learn(batch.account.values());
      if (batch.stale || batch.delivery.size) failed.look();
      await showing; // events before the view is there belong to it too
      await Promise.all([view?.apply(batch), panel?.apply(batch)]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // what is shown is gone: the next look says so
      if (error.status === 404) show();
    }
    markSelected();
  }, (live) => {
    if (isLive !== null && isLive !== live) announce(t(live ? 'status.back' : 'status.gone'));
    isLive = live;
    renderStatus();
  });
}

document.addEventListener('signedout', () => {
  shows += 1;
  stop?.();
  stop = null;
  view = null;
  panel = null;
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  header.replaceChildren(h('span', { class: 'brand' }, 'mcn-mock'));
  main.classList.remove('has-panel');
  footer.replaceChildren();
  showSignIn();
  showIcon(0);
});

function showSignIn() {
  main.replaceChildren(signInView(() => {
    showSignIn();
    queueMicrotask(() => main.querySelector('select').focus()); // behind the form's own focus
  }));
  document.title = `${t('signin.title')} – mcn-mock`;
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && panel !== null && !document.querySelector('dialog[open]')) location.hash = addressOfList();
});

addEventListener('hashchange', () => show());
showTheme(chosenTheme());
speak(chosenLanguage());
show({ isFirst: true });
start();
