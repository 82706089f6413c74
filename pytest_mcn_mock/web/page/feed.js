// A live table over a list of the admin API: the newest first, a page at a time, never more rows than a page has.

import { ApiError, get } from './api.js';
import { h } from './dom.js';
import { number, t } from './i18n.js';
import { Sorting } from './sorting.js';

const CHUNK = 1000;
const MOST_CHUNKS = 20; // that are searched at once for rows that match

/** `path` and `query` say which list; `cursor` is the field that `after` counts by and `key` the one that an item is
 * known by. `columns` are those of `Sorting`, with `cell(item)`. `matches`
 * says which items are shown; unless the API `hasFilter` for that, pages are gathered from as many of the API's as it
 * takes.
 * `merge(known, item)` gives the item to show in place of a known one. `total()` resolves to `{n, isCut}`, how many
 * items there are, or to null. `empty()` is shown in place of an empty table.
 *
 * Sorted are the newest CHUNK items, a page of them at a time: the API has them in order of arrival only. */
export class Feed {
  constructor({
    path, query = {}, key, cursor, columns, caption, matches = null, hasFilter = false, merge = (known, item) => item, total = null, empty,
    size = 100, rowClass = () => '',
  }) {
    Object.assign(this, { path, query, key, cursor, columns, matches, hasFilter, merge, countAll: total, empty, size, rowClass });
    this.starts = [0];
    this.page = 0; // of what is sorted
    this.items = [];
    this.next = null;
    this.total = null;
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
    this.sorting = new Sorting(this.columns, () => this.resort());
    this.table = h('table', {},
      h('caption', {}, this.captionText),
      h('thead', {}, h('tr', {}, this.sorting.heads)),
      this.body);
    this.note = h('p', { class: 'note' });
    this.error = h('p', { class: 'error', role: 'alert', hidden: true });
    this.older = h('button', { type: 'button', 'data-key': 'older', on: { click: () => this.turn(1) } }, t('feed.older'));
    this.newer = h('button', { type: 'button', 'data-key': 'newer', on: { click: () => this.turn(-1) } }, t('feed.newer'));
    this.newest = h('button', { type: 'button', on: { click: () => this.toNewest() } }, t('feed.newest'));
    this.news = h('button', { type: 'button', class: 'news', on: { click: () => this.toNewest() } });
    this.pager = h('div', { class: 'pager' }, this.newest, this.newer, this.older, this.note);
    this.blank = h('div', { class: 'blank', hidden: true });
    this.frame = h('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': this.captionText }, this.table);
    this.node = h('div', { class: 'feed' }, this.error, this.news, this.frame, this.blank, this.pager);
  }

  /** Load the page that is shown, again or for the first time. */
  async load() {
    this.loads += 1;
    const load = this.loads;
    this.node.setAttribute('aria-busy', 'true');
    try {
      const gathered = this.sorting.by ? this.gather(0, CHUNK) : this.gather(this.starts.at(-1), this.size);
      const [{ items, next }, total] = await Promise.all([gathered, this.countAll?.() ?? null]);
      if (load !== this.loads) return;
      this.items = items;
      this.next = next;
      this.total = total;
      this.order();
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

  /** Get `most` items behind `start`, and the cursor behind them if there may be more. */
  async gather(start, most) {
    const query = { ...this.query, order: 'newest' };
    if ((!this.matches || this.hasFilter) && most <= CHUNK) {
      const { items, next } = await get(this.path, { ...query, limit: most, after: start || null });
      return { items, next };
    }
    const found = [];
    let after = start;
    let chunks = 0;
    do {
      const page = await get(this.path, { ...query, limit: CHUNK, after: after || null });
      for (const item of page.items) if (!this.matches || this.matches(item)) found.push(item);
      after = page.next;
      chunks += 1;
    } while (after && found.length <= most && chunks < MOST_CHUNKS);
    const items = found.slice(0, most);
    return { items, next: found.length > most ? items.at(-1)[this.cursor] : after };
  }

  /** What has changed meanwhile, by key. */
  apply(changed) {
    if (!this.isLoaded || changed.size === 0) return;
    const known = new Map(this.items.map((item, index) => [item[this.key], index]));
    const takesNew = (this.sorting.by || this.starts.length === 1) && !this.isPaused;
    const top = Math.max(0, ...this.items.map((item) => item[this.cursor]));
    const added = [];
    for (const [key, item] of changed) {
      if (!this.concerns(item)) continue;
      const index = known.get(key);
      if (index !== undefined) this.items[index] = this.merge(this.items[index], item);
      else if (item[this.cursor] > top && (!this.matches || this.matches(item))) added.push(item);
    }
    const before = this.items.length;
    if (this.matches) this.items = this.items.filter(this.matches);
    if (this.total) this.total = { ...this.total, n: this.total.n + added.length + this.items.length - before };
    if (takesNew) {
      this.items = [...added, ...this.items].sort((a, b) => b[this.cursor] - a[this.cursor]);
      const most = this.sorting.by ? CHUNK : this.size;
      if (this.items.length > most) {
        this.items.length = most;
        this.next = this.items.at(-1)[this.cursor];
      }
      this.order();
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

  async resort() {
    this.page = 0;
    this.starts = [0];
    await this.load();
  }

  order() {
    this.items = this.sorting.order(this.items);
    this.page = Math.min(this.page, Math.max(0, Math.ceil(this.items.length / this.size) - 1));
  }

  async turn(pages) {
    if (this.sorting.by) {
      this.page += pages;
      this.render();
    } else {
      if (pages > 0) this.starts.push(this.next);
      else this.starts.pop();
      await this.load();
    }
    this.frame.scrollTop = 0;
    this.frame.focus({ preventScroll: true });
  }

  async toNewest() {
    this.starts = [0];
    this.page = 0;
    await this.load();
    this.frame.focus({ preventScroll: true });
  }

  render() {
    const isFirst = this.sorting.by ? this.page === 0 : this.starts.length === 1;
    const hasMore = this.sorting.by ? (this.page + 1) * this.size < this.items.length : this.next !== null;
    const isEmpty = this.isLoaded && this.items.length === 0 && isFirst && this.next === null;
    this.frame.hidden = isEmpty;
    this.blank.hidden = !isEmpty;
    if (isEmpty && !this.blank.hasChildNodes()) this.blank.append(this.empty());
    if (!isEmpty) this.blank.replaceChildren();
    this.renderRows();
    this.older.hidden = !hasMore;
    this.newer.hidden = isFirst;
    this.newest.hidden = isFirst;
    this.news.hidden = !this.unseen.size;
    this.news.textContent = t('feed.unseen', { n: this.unseen.size });
    this.pager.hidden = isEmpty;
    this.note.textContent = this.isLoaded && !isEmpty ? this.noteText(isFirst) : '';
  }

  /** The place of the rows among all, and what is sorted. */
  noteText(isFirst) {
    const rows = this.shown().length;
    const page = (this.sorting.by ? this.page : this.starts.length - 1) * this.size;
    const isWhole = isFirst && this.next === null && !this.sorting.by;
    const all = isWhole ? { n: rows, isCut: false } : this.total;
    const total = all ? `${number(all.n)}${all.isCut ? '+' : ''}` : null;
    const place = rows ? t(total ? 'feed.of' : 'feed.place', { first: page + 1, last: page + rows, total, n: all?.n ?? rows }) : t('feed.nothing');
    return this.sorting.by && this.next !== null ? `${place} · ${t('feed.sorted', { n: this.items.length })}` : place;
  }

  shown() {
    return this.sorting.by ? this.items.slice(this.page * this.size, (this.page + 1) * this.size) : this.items;
  }

  renderRows() {
    const rows = new Map();
    for (const item of this.shown()) {
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
