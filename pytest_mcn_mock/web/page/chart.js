// Lines over time.

import { h, s } from './dom.js';
import { axisTime, money, momentText, number, t } from './i18n.js';

const WIDTH = 640;
const HEIGHT = 160;
const INSET = 6;
const ENOUGH_OF_THE_AXIS = 0.2; // a line that moves less is drawn on an axis that does not begin at 0

const place = (part, length) => (INSET + part * (length - 2 * INSET)).toFixed(1);
const left = (part) => place(part, WIDTH);
const top = (part, height = HEIGHT) => place(1 - part, height);

/** Marks on an axis from about `low` to about `high`: round numbers, four to six of them. */
function marks(low, high, least = 0) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(least, [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough - 1e-9));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toFixed(6)));
}

/** Moments as parts of their span. Where no time has passed, they are evenly spaced. */
function alongTime(times) {
  const span = times.at(-1) - times[0];
  return times.map((time, index) => (span > 0 ? (time - times[0]) / span : index / Math.max(1, times.length - 1)));
}

/** A line that changes at once, as money does. */
function steps(points, height = HEIGHT, width = WIDTH) {
  const x = (part) => place(part, width);
  const parts = points.map(([px, py], index) => (index ? `H${x(px)}V${top(py, height)}` : `M${x(px)} ${top(py, height)}`));
  return `${parts.join('')}H${x(1)}`;
}

function straight(points) {
  return points.map(([x, y], index) => `${index ? 'L' : 'M'}${left(x)} ${top(y)}`).join('');
}

/** A small line without words, for a row of a table; `label` says it. */
export function sparkline(entries, label) {
  if (entries.length < 2) return h('span', { class: 'muted' }, '–');
  const balances = entries.map((entry) => Number(entry.balance));
  const [low, high] = [Math.min(...balances), Math.max(...balances)];
  const along = alongTime(entries.map((entry) => Date.parse(entry.at)));
  const points = balances.map((balance, index) => [along[index], high > low ? (balance - low) / (high - low) : 0.5]);
  return s('svg', { class: 'spark', viewBox: '0 0 120 36', role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
    s('path', { class: 'line', d: steps(points, 36, 120) }));
}

/** The frame of a drawing: marks on both axes, and a line below that says what is under the pointer.
 * `lines` are `{d, className, isFilled}`, `xs` the parts of the width at which `say(index)` has something to say and
 * `ys` the heights of the mark there. */
function plot({ label, lines, scale, times, xs, ys, hint, say, note = null }) {
  const mark = s('path', { class: 'mark' }); // a line without length: round, however the drawing is stretched
  const readout = h('p', { class: 'readout', 'aria-hidden': 'true' }, hint);
  const drawing = s('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    scale.map(([part]) => s('line', { class: `grid${part === 0 ? ' base' : ''}`, x1: 0, x2: WIDTH, y1: top(part), y2: top(part) })),
    lines.map(({ d, className = '', isFilled = false }) => [
      isFilled ? s('path', { class: `area ${className}`, d: `${d}V${top(0)}H${left(xs[0])}Z` }) : null,
      s('path', { class: `line ${className}`, d }),
    ]),
    mark);
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width * WIDTH - INSET) / (WIDTH - 2 * INSET);
    const index = Math.max(0, xs.findLastIndex((x) => x <= at));
    mark.setAttribute('d', `M${left(xs[index])} ${top(ys[index])}h0`);
    readout.textContent = say(index);
  });
  drawing.addEventListener('pointerleave', () => {
    mark.setAttribute('d', '');
    readout.textContent = hint;
  });
  return h('figure', { class: 'plot' },
    h('div', { class: 'scale', 'aria-hidden': 'true' }, scale.map(([part, text]) => at(h('span', {}, text), 'top', top(part) / HEIGHT))),
    drawing,
    h('div', { class: 'axis', 'aria-hidden': 'true' }, times.map((text) => h('span', {}, text))),
    h('figcaption', {}, readout, note ? h('p', { class: 'note' }, note) : null));
}

function at(node, side, part) {
  node.style[side] = `${(part * 100).toFixed(2)}%`; // a property is allowed where an attribute is not
  return node;
}

/** The balance over a ledger's entries, the oldest first. */
export function balanceChart(entries) {
  const balances = entries.map((entry) => Number(entry.balance));
  const low = entries[balances.indexOf(Math.min(...balances))].balance;
  const high = entries[balances.indexOf(Math.max(...balances))].balance;
  const [first, last] = [entries[0], entries.at(-1)];
  const label = t('chart.label', {
    n: entries.length, first: money(first.balance), last: money(last.balance), low: money(low), high: money(high),
    from: momentText(first.at), to: momentText(last.at),
  });
  const range = [Math.min(0, Number(low)), Math.max(0, Number(high))];
  const isFlat = Number(low) > 0 && Number(high) - Number(low) < ENOUGH_OF_THE_AXIS * Number(high) && high !== low;
  const scale = isFlat ? marks(Number(low), Number(high), 0.01) : marks(...range, 0.01);
  const part = (value) => (value - scale[0]) / (scale.at(-1) - scale[0]);
  const xs = alongTime(entries.map((entry) => Date.parse(entry.at)));
  const points = balances.map((balance, index) => [xs[index], part(balance)]);
  const middle = new Date((Date.parse(first.at) + Date.parse(last.at)) / 2).toISOString();
  return plot({
    label,
    lines: [{ d: steps(points), isFilled: !isFlat }],
    scale: scale.map((value) => [part(value), money(value)]),
    times: [first.at, middle, last.at].map((moment) => axisTime(moment, first.at, last.at, { hasDay: true })),
    xs,
    ys: points.map(([, y]) => y),
    hint: t('chart.hint', { n: entries.length }),
    say: (index) => `${momentText(entries[index].at)} · ${money(entries[index].amount)} → ${money(entries[index].balance)}`,
    note: isFlat ? t('chart.cut', { from: money(scale[0]) }) : null,
  });
}

/** Calls by minute, and how many of them were answered. */
export function minutesChart(minutes) {
  const placed = minutes.map((minute) => minute.calls);
  const high = Math.max(...placed);
  const all = placed.reduce((sum, n) => sum + n, 0);
  const scale = marks(0, Math.max(high, 4), 1);
  const part = (n) => n / scale.at(-1);
  const xs = minutes.map((_, index) => index / (minutes.length - 1));
  const line = (value) => straight(minutes.map((minute, index) => [xs[index], part(value(minute))]));
  const [first, last] = [minutes[0].at, minutes.at(-1).at];
  const hint = all ? t('minutes.hint', { n: all, most: high }) : t('minutes.none');
  return plot({
    label: `${t('minutes.title')}: ${hint}`,
    lines: [{ d: line((minute) => minute.answered), className: 'good', isFilled: true }, { d: line((minute) => minute.calls) }],
    scale: scale.map((value) => [part(value), number(value)]),
    times: [0, 20, 40, 59].map((index) => axisTime(minutes[index].at, first, last, { hasDay: false })),
    xs,
    ys: placed.map(part),
    hint,
    say: (index) => t('minutes.at', { at: axisTime(minutes[index].at, first, last, { hasDay: false }), n: minutes[index].calls, answered: minutes[index].answered }),
  });
}
