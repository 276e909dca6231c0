#include "front/http/page_assets.h"

namespace holdfast::front {

// The page asks for itself again and takes over only what differs. Everything it shows was escaped by the server and
// is moved as nodes of an inert document, never as text that is parsed twice.
const std::string_view kPageScript = R"js(
'use strict';
(() => {
  const live = document.getElementById('live');
  const version = document.documentElement.dataset.version;
  let lastAnswer = Date.now();
  let pause = 1000;

  // Makes `now` look like `next`, touching only what differs. An open fold stays open.
  function takeOver(now, next) {
    if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) {
      now.replaceWith(document.adoptNode(next));
      return;
    }
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
      return;
    }
    for (const {name, value} of [...next.attributes]) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    for (const {name} of [...now.attributes]) {
      if (!next.hasAttribute(name) && !(now.nodeName === 'DETAILS' && name === 'open')) now.removeAttribute(name);
    }
    const have = [...now.childNodes];
    const want = [...next.childNodes];
    for (let i = 0; i < want.length; ++i) {
      if (i < have.length) takeOver(have[i], want[i]);
      else now.appendChild(document.adoptNode(want[i]));
    }
    for (let i = want.length; i < have.length; ++i) have[i].remove();
  }

  function say(text, silent) {
    if (live.textContent !== text) live.textContent = text;
    document.body.classList.toggle('silent', silent);
  }

  function sayHowLong() {
    const seconds = Math.round((Date.now() - lastAnswer) / 1000);
    say(`This master has not answered for ${seconds} s. What you see is from then; the other masters may know more.`, true);
  }

  async function refresh() {
    try {
      const reply = await fetch(location.pathname, {cache: 'no-store', signal: AbortSignal.timeout(3000)});
      if (!reply.ok) throw new Error(reply.status);
      const text = await reply.text();
      const next = new DOMParser().parseFromString(text, 'text/html');
      if (next.documentElement.dataset.version !== version) return location.reload();
      const main = next.querySelector('main');
      if (!main) throw new Error('no page');
      showButtons(main);
      takeOver(document.querySelector('main'), main);
      document.title = next.title;
      lastAnswer = Date.now();
      // A large page is asked for less often: a second for each 100 kB.
      pause = Math.min(30000, 1000 * Math.max(1, text.length / 1e5));
      say('live', false);
    } catch (error) {
      pause = 1000;
      sayHowLong();
    }
  }

  // ---- what changes the cluster, each asked for again
  const ask = document.getElementById('ask');
  const part = (name) => document.getElementById('ask-' + name);

  function showButtons(root) {
    for (const one of root.querySelectorAll('[data-step-down], [data-remove], #add')) one.hidden = false;
  }

  // Not on the button itself: the refresh may put another one in its place.
  const query = (values) => new URLSearchParams(values).toString();
  let target = () => '';
  function open(what, how, yes, hasOther, url) {
    part('what').textContent = what;
    part('how').textContent = how;
    part('yes').textContent = yes;
    part('error').textContent = '';
    part('other').value = '';
    part('other-line').hidden = !hasOther;
    target = url;
    ask.showModal();
  }
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-step-down], [data-remove]');
    if (!button) return;
    const {stepDown, remove} = button.dataset;
    if (stepDown) {
      open(`Shall ${stepDown} step down as leader?`,
           'The most up to date of the others takes over at once; uploads pause for some milliseconds, and nothing is lost.',
           'Step down', false, () => '/cluster/leader/stepdown?' + query({from: stepDown}));
    } else {
      open(`Shall ${remove} be no master of this cluster any more?`,
           'It stops, and its state is void: only as a new member can it come back. Another one, started already with ' +
           '-peers, can take its place: it learns first and votes later, and only then the old one goes.',
           'Remove', true, () => {
             const other = part('other').value.trim();
             return other ? '/cluster/members/replace?' + query({old: remove, address: other})
                          : '/cluster/members/remove?' + query({address: remove, force: true});
           });
    }
  });
  document.addEventListener('submit', (event) => {
    if (event.target.id !== 'add') return;
    event.preventDefault();
    const address = document.getElementById('add-address').value.trim();
    open(`Shall ${address} become a master of this cluster?`,
         'It must have been started there, with -peers naming one of these. It learns first and votes when it has caught up.',
         'Add', false, () => '/cluster/members/add?' + query({address}));
  });
  part('no').addEventListener('click', () => ask.close());
  part('yes').addEventListener('click', async () => {
    part('yes').disabled = true;
    part('error').textContent = '';
    const token = part('token');
    try {
      const reply = await fetch(target(), {
        method: 'POST',
        headers: token ? {Authorization: `Bearer ${token.value}`} : {},
        signal: AbortSignal.timeout(10000),
      });
      if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).error || `The master answered ${reply.status}.`);
      ask.close();
      if (token) token.value = '';
      refresh();
    } catch (error) {
      part('error').textContent = error.message;
    } finally {
      part('yes').disabled = false;
    }
  });
  showButtons(document);

  async function round() {
    if (!document.hidden) await refresh();
    setTimeout(round, pause);
  }
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
  say('live', false);
  setTimeout(round, pause);
})();
)js";

}  // namespace holdfast::front
