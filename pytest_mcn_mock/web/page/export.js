// A list as a file: CSV for a spreadsheet, JSON for a program.

import { ApiError } from './api.js';
import { announce } from './dialogs.js';
import { h } from './dom.js';
import { number, t } from './i18n.js';

const MOST = 10_000;
const TYPES = { csv: 'text/csv', json: 'application/json' };
const LATER_MS = 60_000;

/** Buttons that save what `source()` gathers, such as a feed. `fields` are `[name, value(item)]`, the columns of the CSV. */
export function exportButtons(name, source, fields) {
  const save = async (kind) => {
    try {
      const { items, next } = await source().gather(0, MOST);
      download(`${name}.${kind}`, TYPES[kind], kind === 'csv' ? csv(items, fields) : `${JSON.stringify(items, null, 2)}\n`);
      announce(t(next === null ? 'export.done' : 'export.cut', { n: items.length }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      announce(error.message);
    }
  };
  return h('span', { class: 'export', role: 'group', 'aria-label': t('export.title', { most: number(MOST) }) },
    Object.keys(TYPES).map((kind) => h('button', {
      type: 'button', 'aria-label': t(`export.${kind}`), title: t('export.title', { most: number(MOST) }), on: { click: () => save(kind) },
    }, kind.toUpperCase())));
}

/** Columns that are fields of the items, by their names. */
export function fieldsNamed(...names) {
  return names.map((name) => [name, (item) => item[name]]);
}

/** RFC 4180, with the mark by which spreadsheets know UTF-8. */
function csv(items, fields) {
  const rows = [fields.map(([title]) => title), ...items.map((item) => fields.map(([, value]) => value(item)))];
  return `\ufeff${rows.map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
}

/** A spreadsheet runs a text that begins like a formula, unless an apostrophe comes before it. A number is none. */
function cell(value) {
  const text = value === null || value === undefined ? '' : String(value);
  const isFormula = /^[\s]*[=+\-@]|^[\t\r\n]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text);
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n;]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download(name, type, text) {
  const link = document.createElement('a'); // never in the document
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), LATER_MS);
}
