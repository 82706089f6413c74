// Elements without markup: all text goes in as text, and no attribute can run anything.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'open', 'hidden']);
const LINKS = new Set(['href', 'src', 'action', 'formaction', 'xlink:href']);
const OWN_LINK = /^(#|\/(?!\/))/;

/** An HTML element. `on` holds listeners by event; null, undefined and false leave an attribute or a child out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || (value === false && !PROPERTIES.has(name))) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (PROPERTIES.has(name)) {
      element[name] = value;
    } else if (/^on|^style$/i.test(name) || (LINKS.has(name) && !OWN_LINK.test(value))) {
      throw new TypeError(`attribute ${name} is not for data`);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Put new children in; the focus and what was unfolded stay where the same `data-key` is there again. */
export function refill(container, ...children) {
  const active = document.activeElement;
  const focused = container.contains(active) ? active.dataset?.key ?? '' : null;
  const unfolded = new Set([...container.querySelectorAll('details[open]')].map((node) => node.dataset.key));
  const folded = new Set([...container.querySelectorAll('details:not([open])')].map((node) => node.dataset.key));
  container.replaceChildren(...flat(children));
  for (const node of container.querySelectorAll('details[data-key]')) {
    if (unfolded.has(node.dataset.key)) node.open = true;
    if (folded.has(node.dataset.key)) node.open = false;
  }
  if (focused === null) return;
  const again = focused && [...container.querySelectorAll('[data-key]')].find((node) => node.dataset.key === focused);
  (again || container.querySelector('h1, h2') || container).focus({ preventScroll: true });
}

let lastId = 0;

/** An id that no other element of the page has. */
export function newId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** At most one run at a time, and at least `pause()` milliseconds between two; asked meanwhile, it runs once more
 * afterwards. */
export function atMostEvery(pause, run) {
  let isBusy = false;
  let isAsked = false;
  const go = async () => {
    if (isBusy) {
      isAsked = true;
      return;
    }
    isBusy = true;
    try {
      await run();
    } finally {
      setTimeout(() => {
        isBusy = false;
        if (isAsked) {
          isAsked = false;
          go();
        }
      }, pause());
    }
  };
  return go;
}
