// Sorting by a column of a table.

import { h } from './dom.js';

const collator = new Intl.Collator(undefined, { numeric: true });

/** The heads of a table's columns, `{title, className, sort(item), descends}`; one with `sort` can be sorted by, at first
 * downwards if it `descends`. `change()` is called when somebody chooses: a column, the other direction, and no more. */
export class Sorting {
  constructor(columns, change) {
    this.columns = columns;
    this.change = change;
    this.by = null;
    this.heads = columns.map((column, index) => h('th', { scope: 'col', class: column.className }, column.sort
      ? h('button', { type: 'button', class: 'sort', 'data-key': `sort-${index}`, on: { click: () => this.choose(index) } }, column.title)
      : column.title));
  }

  choose(index) {
    const first = this.columns[index].descends ? 'descending' : 'ascending';
    const other = first === 'ascending' ? 'descending' : 'ascending';
    const now = this.by?.index === index ? this.by.direction : null;
    this.by = now === other ? null : { index, direction: now === first ? other : first };
    this.heads.forEach((head, place) => {
      if (place === this.by?.index) head.setAttribute('aria-sort', this.by.direction);
      else head.removeAttribute('aria-sort');
    });
    return this.change();
  }

  /** Return the items in the chosen order; as they are if none is chosen. */
  order(items) {
    if (!this.by) return items;
    const value = this.columns[this.by.index].sort;
    const sign = this.by.direction === 'ascending' ? 1 : -1;
    return [...items].sort((a, b) => sign * compare(value(a), value(b)));
  }
}

function compare(a, b) {
  return typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(String(a ?? ''), String(b ?? ''));
}
