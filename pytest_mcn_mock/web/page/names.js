// The names of accounts, as far as the page has seen them.

const names = new Map();

/** Remember the names of accounts. */
export function learn(accounts) {
  for (const { id, name } of accounts) names.set(String(id), name ?? null);
}

/** An account's id, after its name if it has one. */
export function accountLabel(id) {
  const name = names.get(String(id));
  return name ? `${name} · ${id}` : String(id);
}
