// A live table over a list of the admin API: the newest first, a page at a time, never more rows than a page has.

import { ApiError, get } from './api.js';
import { h } from './dom.js';
import { number, t } from './i18n.js';

const CHUNK = 1000;

/** `path` and `query` say which list; `cursor` is the field that `after` counts by and `key` the one that an item is
 * known by. `columns` are `{title, cell(item), className}`. `matches` filters here what the API cannot filter: pages are
 * then gathered from as many of the API's as it takes. `empty()` is shown in place of an empty table. */
export class Feed {
  constructor({ path, query = {}, key, cursor, columns, caption, matches = null, empty, size = 100, rowClass = () => '' }) {
    Object.assign(this, { path, query, key, cursor, columns, matches, empty, size, rowClass });
    this.starts = [0];
    this.items = [];
    this.next = null;
    this.unseen = new Set();
    this.isPaused = false;
    this.isLoaded = false;
    this.loads = 0;
    this.rows = new Map();
    this.captionText = caption;
    this.make();
  }

  make() {
    this.body = h('tbody');
    this.table = h('table', {},
      h('caption', {}, this.captionText),
      h('thead', {}, h('tr', {}, this.columns.map((c) => h('th', { scope: 'col', class: c.className }, c.title)))),
      this.body);
    this.note = h('p', { class: 'note' });
    this.error = h('p', { class: 'error', role: 'alert', hidden: true });
    this.older = h('button', { type: 'button', 'data-key': 'older', on: { click: () => this.turn(1) } }, t('feed.older'));
    this.newer = h('button', { type: 'button', 'data-key': 'newer', on: { click: () => this.turn(-1) } }, t('feed.newer'));
    this.newest = h('button', { type: 'button', on: { click: () => this.toNewest() } }, t('feed.newest'));
    this.pager = h('div', { class: 'pager' }, this.newest, this.newer, this.older, this.note);
    this.blank = h('div', { class: 'blank', hidden: true });
    this.frame = h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': this.captionText }, this.table);
    this.node = h('div', { class: 'feed' }, this.error, this.frame, this.blank, this.pager);
  }

  /** Load the page that is shown, again or for the first time. */
  async load() {
    this.loads += 1;
    const load = this.loads;
    this.node.setAttribute('aria-busy', 'true');
    try {
      const { items, next } = await this.gather(this.starts.at(-1));
      if (load !== this.loads) return;
      this.items = items;
      this.next = next;
      this.unseen.clear();
      this.isLoaded = true;
      this.error.hidden = true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (load !== this.loads) return;
      this.error.textContent = error.message;
      this.error.hidden = false;
    }
    this.node.removeAttribute('aria-busy');
    this.render();
  }

  async gather(start) {
    const query = { ...this.query, order: 'newest' };
    if (!this.matches) {
      const { items, next } = await get(this.path, { ...query, limit: this.size, after: start || null });
      return { items, next };
    }
    const found = [];
    let after = start;
    do {
      const page = await get(this.path, { ...query, limit: CHUNK, after: after || null });
      found.push(...page.items.filter(this.matches));
      after = page.next;
    } while (after && found.length <= this.size);
    const items = found.slice(0, this.size);
    return { items, next: found.length > this.size ? items.at(-1)[this.cursor] : after };
  }

  /** What has changed meanwhile, by key. */
  apply(changed) {
    if (!this.isLoaded || changed.size === 0) return;
    const known = new Map(this.items.map((item, index) => [item[this.key], index]));
    const isAtTop = this.starts.length === 1 && !this.isPaused;
    const top = this.items.length ? this.items[0][this.cursor] : 0;
    const added = [];
    for (const [key, item] of changed) {
      if (!this.concerns(item)) continue;
      const index = known.get(key);
      if (index !== undefined) this.items[index] = item;
      else if (item[this.cursor] > top && (!this.matches || this.matches(item))) added.push(item);
    }
    if (this.matches) this.items = this.items.filter(this.matches);
    if (isAtTop) {
      added.sort((a, b) => b[this.cursor] - a[this.cursor]);
      this.items = [...added, ...this.items];
      if (this.items.length > this.size) {
        this.items.length = this.size;
        this.next = this.items.at(-1)[this.cursor];
      }
    } else {
      for (const item of added) this.unseen.add(item[this.key]);
    }
    this.render();
  }

  concerns(item) {
    const account = this.query.account_id;
    return !account || String(item.account_id) === String(account);
  }

  /** Keep new rows out, or let them in again. */
  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) this.load();
  }

  async turn(pages) {
    if (pages > 0) this.starts.push(this.next);
    else this.starts.pop();
    await this.load();
    this.frame.scrollTop = 0;
    this.frame.focus({ preventScroll: true });
  }

  async toNewest() {
    this.starts = [0];
    await this.load();
    this.frame.focus({ preventScroll: true });
  }

  render() {
    const isEmpty = this.isLoaded && this.items.length === 0 && this.starts.length === 1;
    this.frame.hidden = isEmpty;
    this.blank.hidden = !isEmpty;
    if (isEmpty && !this.blank.hasChildNodes()) this.blank.append(this.empty());
    if (!isEmpty) this.blank.replaceChildren();
    this.renderRows();
    this.older.hidden = this.next === null;
    this.newer.hidden = this.starts.length === 1;
    this.newest.hidden = this.starts.length === 1 && !this.unseen.size;
    this.newest.textContent = this.unseen.size ? t('feed.unseen', { n: this.unseen.size }) : t('feed.newest');
    this.pager.hidden = isEmpty;
    this.note.textContent = this.isLoaded && !isEmpty
      ? t('feed.note', { page: number(this.starts.length), n: this.items.length }) : '';
  }

  renderRows() {
    const rows = new Map();
    for (const item of this.items) {
      const known = this.rows.get(item[this.key]);
      const row = known?.row ?? h('tr');
      if (known?.item !== item) this.renderRow(row, item);
      rows.set(item[this.key], { row, item });
    }
    for (const [key, { row }] of this.rows) if (!rows.has(key)) row.remove();
    let place = this.body.firstChild;
    for (const { row } of rows.values()) {
      if (row === place) place = place.nextSibling;
      else this.body.insertBefore(row, place);
    }
    this.rows = rows;
  }

  renderRow(row, item) {
    const links = [...row.querySelectorAll('a, button')];
    const focused = links.indexOf(document.activeElement);
    row.className = this.rowClass(item);
    row.dataset.id = item[this.key];
    row.replaceChildren(...this.columns.map((column, index) => (index === 0
      ? h('th', { scope: 'row', class: column.className }, column.cell(item))
      : h('td', { class: column.className }, column.cell(item)))));
    if (focused >= 0) row.querySelectorAll('a, button')[focused]?.focus({ preventScroll: true });
  }
}
