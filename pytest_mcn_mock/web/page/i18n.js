// Words, amounts and times in the language of the reader.

import en from './en.js';
import ru from './ru.js';
import { h } from './dom.js';
import reasonsRu from './reasons.ru.js';

export const LANGUAGES = { en: 'English', ru: 'Русский' };
const DICTIONARIES = { en, ru };
const SHORT_MS = 600_000;
const REASONS = { ru: reasonsRu }; // the server itself speaks English
const LOCALES = { en: 'en-GB', ru: 'ru-RU' };
let language = 'en';
let formats = makeFormats();

function makeFormats() {
  const locale = LOCALES[language];
  return {
    money: new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    number: new Intl.NumberFormat(locale, { maximumFractionDigits: 3 }),
    time: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
    minute: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }),
    percent: new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 }),
    exact: new Intl.DateTimeFormat(locale, {
      hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
    }),
    day: new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' }),
    full: new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'long' }),
    plural: new Intl.PluralRules(locale),
    region: new Intl.DisplayNames(locale, { type: 'region' }),
  };
}

/** The language that a list of preferences asks for first, English if none is ours. */
export function preferred(preferences) {
  return preferences.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in DICTIONARIES) ?? 'en';
}

/** Speak a language from now on. */
export function speak(tag) {
  language = tag in DICTIONARIES ? tag : 'en';
  formats = makeFormats();
  document.documentElement.lang = language;
}

/** The language spoken. */
export function spoken() {
  return language;
}

/** A text of the dictionary with `{name}` filled in. One with plural forms is chosen by the value `n`. */
export function t(key, values = {}) {
  const entry = DICTIONARIES[language][key];
  if (entry === undefined) throw new RangeError(`no text ${key}`);
  const text = typeof entry === 'string' ? entry : entry[formats.plural.select(values.n)] ?? entry.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === 'number' ? formats.number.format(value) : String(value);
  });
}

/** A text of the dictionary, or the word itself where the dictionary has none: words of the API may be new. */
export function word(prefix, name) {
  return DICTIONARIES[language][`${prefix}.${name}`] ?? String(name);
}

const SHOWN = {
  outcome: (value) => word('outcome', value),
  country: (value) => word('country.of', value),
  kind: (value) => word('fault.kind', value),
  region: (value) => formats.region.of(value),
  price: money, balance: money, credit: money,
  uuid: unquoted, account: unquoted,
};

function unquoted(value) {
  return String(value).replace(/^'(.*)'$/, '$1');
}

/** A reason of the server's, `{code, values}`, in the language of the page. null if the page has only the server's
 * English text for it: in English, or for a code that is newer than the page. */
export function because(reason) {
  const text = REASONS[language]?.[reason?.code];
  if (text === undefined) return null;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = reason.values[name];
    if (value === undefined) return whole;
    if (value?.code) return because(value) ?? value.code;
    return SHOWN[name]?.(value) ?? (typeof value === 'number' ? formats.number.format(value) : String(value));
  });
}

/** Roubles, with two decimals. The API's text goes in as it is, so that nothing is rounded on the way. */
export function money(roubles) {
  return `${formats.money.format(roubles)}\u00a0₽`;
}

/** A number. */
export function number(value) {
  return formats.number.format(value);
}

/** Seconds: `0.012 s`. */
export function seconds(value) {
  return t('unit.seconds', { n: Math.round(value * 1000) / 1000 });
}

/** A time span in its two largest units: `0.012 s`, `4 min 15 s`, `9 h 6 min`. */
export function elapsed(value) {
  if (value < 120) return seconds(value);
  const minutes = Math.floor(value / 60);
  if (minutes < 120) return `${t('unit.minutes', { n: minutes })} ${t('unit.seconds', { n: Math.floor(value % 60) })}`;
  return `${t('unit.hours', { n: Math.floor(minutes / 60) })} ${t('unit.minutes', { n: minutes % 60 })}`;
}

/** A moment, with its day where that is not today. */
export function moment(iso, { exact = false } = {}) {
  if (!iso) return '–';
  const date = new Date(iso);
  const clock = (exact ? formats.exact : formats.time).format(date);
  const isToday = date.toDateString() === new Date().toDateString();
  return h('time', { datetime: iso, title: formats.full.format(date) }, isToday ? clock : `${formats.day.format(date)}, ${clock}`);
}

/** A moment as text. */
export function momentText(iso) {
  return formats.full.format(new Date(iso));
}

/** A moment on an axis from `first` to `last`, with seconds on a short one. */
export function axisTime(iso, first, last, { hasDay }) {
  const date = new Date(iso);
  const clock = (Date.parse(last) - Date.parse(first) < SHORT_MS ? formats.time : formats.minute).format(date);
  return hasDay ? `${formats.day.format(date)}, ${clock}` : clock;
}

/** A share, in percent. One that is not whole is neither 0 nor 100. */
export function share(part, whole) {
  const rounded = Math.round(part / whole * 100);
  return formats.percent.format((part === 0 || part === whole ? rounded : Math.min(99, Math.max(1, rounded))) / 100);
}
