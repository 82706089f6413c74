// A smoke check of accessibility: what is wrong on the page as it stands, as a list of sentences.
() => {
  const wrong = [];
  const isShown = (node) => node.checkVisibility();
  const textOf = (id) => document.getElementById(id)?.textContent.trim() ?? '';
  const nameOf = (node) => node.getAttribute('aria-label')
    || (node.getAttribute('aria-labelledby') ?? '').split(' ').map(textOf).join(' ').trim()
    || [...(node.labels ?? [])].map((label) => label.textContent.trim()).join(' ')
    || (/^(A|BUTTON|SUMMARY)$/.test(node.tagName) ? node.textContent.trim() : '');
  const tell = (node, what) => wrong.push(`${what}: ${node.cloneNode(false).outerHTML}`);

  for (const node of document.querySelectorAll('input, select, textarea, button, a, summary, dialog, nav, [role=region], [role=img]')) {
    if (isShown(node) && !nameOf(node)) tell(node, 'no name');
  }
  for (const node of document.querySelectorAll('main section')) if (isShown(node) && !nameOf(node)) tell(node, 'no name');
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent.trim()) tell(table, 'no caption');
    if (!table.querySelector('th[scope]')) tell(table, 'no header cells');
  }
  const headings = [...document.querySelectorAll('h1, h2, h3, h4')];
  if (headings.filter((node) => node.tagName === 'H1').length !== 1) wrong.push('not one h1');
  for (const landmark of ['header', 'nav', 'main']) {
    if (document.querySelectorAll(landmark).length !== 1) wrong.push(`not one ${landmark}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`id ${id} twice`);
  for (const node of document.querySelectorAll('[aria-describedby]')) {
    for (const id of node.getAttribute('aria-describedby').split(' ')) if (!ids.includes(id)) tell(node, `no element ${id}`);
  }
  if (!document.title || !document.documentElement.lang) wrong.push('no title or no language');

  // Contrast of text on its ground, WCAG 2.2, 1.4.3: 4.5 to 1, or 3 to 1 for large text.
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const groundOf = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const seen = new Set();
  for (const node of document.querySelectorAll('body *')) {
    const hasText = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
    if (!hasText || !isShown(node) || node.closest('[aria-disabled=true], :disabled, #announcer, svg')) continue;
    const style = getComputedStyle(node);
    const [front, ground] = [rgba(style.color), groundOf(node)];
    const [light, dark] = [luminance(front), luminance(ground)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio >= (isLarge ? 3 : 4.5)) continue;
    const what = `contrast ${ratio.toFixed(2)} of ${style.color} on ${ground.slice(0, 3)}`;
    if (!seen.has(what)) tell(node, what);
    seen.add(what);
  }
  return wrong;
}
