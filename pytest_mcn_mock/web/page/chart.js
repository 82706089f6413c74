// The balance over time: a step line, because money moves at once.

import { h, s } from './dom.js';
import { money, momentText, t, timeOfDay } from './i18n.js';

const WIDTH = 640;
const HEIGHT = 160;

/** Points `[x, y]` from 0 to 1 for entries, the oldest first. Where no time has passed, entries are evenly spaced. */
function layOut(entries) {
  const balances = entries.map((entry) => Number(entry.balance));
  const low = Math.min(...balances);
  const high = Math.max(...balances);
  const times = entries.map((entry) => Date.parse(entry.at));
  const span = times.at(-1) - times[0];
  return entries.map((entry, index) => [
    span > 0 ? (times[index] - times[0]) / span : index / Math.max(1, entries.length - 1),
    high > low ? (balances[index] - low) / (high - low) : 0.5,
  ]);
}

function steps(points, width, height, inset) {
  const y = (value) => (height - inset - value * (height - 2 * inset)).toFixed(1);
  const x = (value) => (inset + value * (width - 2 * inset)).toFixed(1);
  const parts = points.map(([px, py], index) => (index ? `H${x(px)}V${y(py)}` : `M${x(px)} ${y(py)}`));
  return `${parts.join('')}H${x(1)}`;
}

/** A small line without words, for a row of a table; `label` says it. */
export function sparkline(entries, label) {
  if (entries.length < 2) return h('span', { class: 'muted' }, '–');
  return s('svg', { class: 'spark', viewBox: '0 0 120 24', role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
    s('path', { class: 'line', d: steps(layOut(entries), 120, 24, 2) }));
}

/** The line with its scale, of a ledger's entries with the oldest first. */
export function balanceChart(entries) {
  const balances = entries.map((entry) => Number(entry.balance));
  const low = entries[balances.indexOf(Math.min(...balances))].balance;
  const high = entries[balances.indexOf(Math.max(...balances))].balance;
  const [first, last] = [entries[0], entries.at(-1)];
  const label = t('chart.label', {
    n: entries.length, first: money(first.balance), last: money(last.balance), low: money(low), high: money(high),
    from: momentText(first.at), to: momentText(last.at),
  });
  const points = layOut(entries);
  const line = steps(points, WIDTH, HEIGHT, 6);
  const mark = s('path', { class: 'mark' }); // a line without length: round, however the drawing is stretched
  const readout = h('p', { class: 'readout', 'aria-hidden': 'true' }, t('chart.hint', { n: entries.length }));
  const drawing = s('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    [0.25, 0.5, 0.75].map((part) => s('line', { class: 'grid', x1: 6, x2: WIDTH - 6, y1: HEIGHT * part, y2: HEIGHT * part })),
    s('path', { class: 'area', d: `${line}V${HEIGHT - 6}H6Z` }),
    s('path', { class: 'line', d: line }),
    mark);
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width * WIDTH - 6) / (WIDTH - 12);
    let index = points.findLastIndex(([x]) => x <= at);
    if (index < 0) index = 0;
    mark.setAttribute('d', `M${6 + points[index][0] * (WIDTH - 12)} ${HEIGHT - 6 - points[index][1] * (HEIGHT - 12)}h0`);
    const entry = entries[index];
    readout.textContent = `${momentText(entry.at)} · ${money(entry.amount)} → ${money(entry.balance)}`;
  });
  drawing.addEventListener('pointerleave', () => {
    mark.setAttribute('d', '');
    readout.textContent = t('chart.hint', { n: entries.length });
  });
  return h('figure', { class: 'balance' },
    h('div', { class: 'plot' },
      h('div', { class: 'scale', 'aria-hidden': 'true' }, h('span', {}, money(high)), h('span', {}, low === high ? '' : money(low))),
      h('div', {}, drawing, h('div', { class: 'axis', 'aria-hidden': 'true' },
        h('span', {}, timeOfDay(first.at)), h('span', {}, timeOfDay(last.at))))),
    readout);
}
