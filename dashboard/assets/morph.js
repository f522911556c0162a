// @ts-check
// Makes a part of the page equal to a fragment of the server with as few changes as possible, so that
// focus, selection, scroll positions, open details and typed text stay.

/** @type {{ createHTML(text: string): any } | undefined} */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("plue", {
  // Only for `parse`, whose document runs no script and is only read.
  createHTML: (/** @type {string} */ text) => text,
});

/** A document of the server's own text. Its scripts do not run. @param {string} text */
export function parse(text) {
  return new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
}

/** @param {Element} old @param {Element} fresh */
export function morph(old, fresh) {
  if (old.hasAttribute("data-keep") && old.id && old.id === fresh.id) return;
  attributes(old, fresh);
  children(old, fresh);
}

/** @param {Element} old @param {Element} fresh */
function attributes(old, fresh) {
  // The reader's own state stays.
  const own = old instanceof HTMLDetailsElement || old instanceof HTMLDialogElement ? ["open"]
    : old instanceof HTMLInputElement ? ["checked", "value"] : old instanceof HTMLOptionElement ? ["selected"] : [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !own.includes(name)) old.setAttribute(name, value);
  }
}

/** @param {Element} old @param {Element} fresh */
function children(old, fresh) {
  if (old instanceof HTMLTextAreaElement) return;
  /** @type {Map<string, Element>} */
  const named = new Map();
  for (const child of old.children) if (child.id) named.set(child.id, child);
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const partner = /** @type {ChildNode | null} */ (match(at, child, named));
    if (!partner) {
      old.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (partner !== at) old.insertBefore(partner, at);
    else at = at?.nextSibling ?? null;
    if (partner instanceof Element && child instanceof Element) {
      named.delete(partner.id);
      morph(partner, child);
    } else if (partner.nodeValue !== child.nodeValue) {
      partner.nodeValue = child.nodeValue;
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** @param {ChildNode | null} at @param {Node} child @param {Map<string, Element>} named */
function match(at, child, named) {
  if (child instanceof Element && child.id) {
    const found = named.get(child.id);
    return found && found.tagName === child.tagName ? found : null;
  }
  if (!at || at.nodeType !== child.nodeType) return null;
  if (at instanceof Element && child instanceof Element) {
    return !at.id && at.tagName === child.tagName ? at : null;
  }
  return at;
}
