'use strict';
// The console: logs in, adds documents, asks and shows the answer as it comes. Everything that
// comes from the stack is put in as text, never as markup.

const byId = (id) => document.getElementById(id);
const tokens = { access: null, refresh: null };
let asking = null;

function say(text) { byId('status').textContent = text; }

// ---------- calls ----------

async function call(path, options = {}, again = true) {
  const headers = new Headers(options.headers);
  if (tokens.access) headers.set('Authorization', `Bearer ${tokens.access}`);
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401 && again && tokens.refresh && await refresh()) {
    return call(path, options, false);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    const error = new Error(problem.detail || `${response.status} ${response.statusText}`);
    error.status = response.status;
    throw error;
  }
  return response;
}

function postJson(path, body, extra = {}) {
  return call(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...extra,
  });
}

let refreshing = null;
// One refresh at a time: a refresh token is good for one use.
function refresh() {
  refreshing ??= (async () => {
    try {
      const response = await fetch('/api/v1/auth/refresh', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ refresh_token: tokens.refresh }),
      });
      if (!response.ok) throw new Error();
      keep(await response.json());
      return true;
    } catch {
      leave('Please log in again. · Войдите снова.');
      return false;
    } finally {
      refreshing = null;
    }
  })();
  return refreshing;
}

function keep(answer) {
  tokens.access = answer.access_token;
  tokens.refresh = answer.refresh_token;
}

// ---------- login ----------

byId('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  await busy(form, async () => {
    keep(await (await postJson('/api/v1/auth/login', {
      email: form.email.value, password: form.password.value,
    })).json());
    form.password.value = '';
    byId('who').textContent = form.email.value;
    byId('login-part').hidden = true;
    byId('work').hidden = false;
    say('');
    byId('ask').question.focus();
    await listDocuments();
  });
});

byId('logout').addEventListener('click', async () => {
  const token = tokens.refresh;
  leave('Logged out. · Вы вышли.');
  if (token) await postJson('/api/v1/auth/logout', { refresh_token: token }).catch(() => {});
});

function leave(text) {
  asking?.abort();
  tokens.access = tokens.refresh = null;
  byId('work').hidden = true;
  byId('login-part').hidden = false;
  byId('result').hidden = true;
  byId('answer').replaceChildren();
  byId('citations').replaceChildren();
  byId('documents').replaceChildren();
  say(text);
}

async function busy(form, work) {
  const button = form.querySelector('button');
  button.disabled = true;
  try { await work(); } catch (error) { say(error.message); } finally { button.disabled = false; }
}

// ---------- documents ----------

byId('upload').file.addEventListener('change', (event) => {
  byId('upload').content.required = event.target.files.length === 0;
});

byId('upload').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  await busy(form, async () => {
    let response;
    if (form.file.files.length > 0) {
      const body = new FormData();
      body.append('file', form.file.files[0]);
      response = await call('/api/v1/documents', { method: 'POST', body });
    } else {
      response = await postJson('/api/v1/documents', {
        filename: form.filename.value, content: form.content.value,
      });
    }
    const { id } = await response.json();
    form.content.value = '';
    form.file.value = '';
    form.content.required = true;
    say('Accepted; it will be indexed in a moment. · Принято, сейчас проиндексируется.');
    await follow(id);
  });
});

async function follow(id) {
  for (;;) {
    const state = await (await call(`/api/v1/documents/${encodeURIComponent(id)}`)).json();
    await listDocuments();
    if (state.status === 'indexed') return say('Indexed: ask about it. · Готово, можно спрашивать.');
    if (state.status === 'failed' || state.status === 'cancelled') {
      return say(`${state.status}: ${state.failure?.message ?? ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function listDocuments() {
  const page = await (await call('/api/v1/documents?limit=20')).json();
  byId('documents').replaceChildren(...page.items.map((item) => {
    const line = document.createElement('li');
    line.textContent = `${item.title ?? item.filename} — ${item.status}`;
    return line;
  }));
}

// ---------- asking ----------

byId('stop').addEventListener('click', () => asking?.abort());

byId('ask').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  const view = newAnswer();
  asking = new AbortController();
  byId('stop').hidden = false;
  await busy(form, async () => {
    try {
      const response = await postJson('/api/v1/ask',
        { question: form.question.value, stream: true },
        { signal: asking.signal });
      for await (const { name, data } of eventsOf(response.body)) view.take(name, data);
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
      say('Stopped. · Остановлено.');
    } finally {
      view.end();
      asking = null;
      byId('stop').hidden = true;
    }
  });
});

// Puts server-sent events together, however the bytes are cut.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text = (text + value).replaceAll('\r\n', '\n');
      let end;
      while ((end = text.indexOf('\n\n')) >= 0) {
        const lines = text.slice(0, end).split('\n');
        text = text.slice(end + 2);
        const field = (name) => lines.filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, '')).join('\n');
        const data = field('data');
        if (data) yield { name: field('event'), data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function newAnswer() {
  const [answer, list] = [byId('answer'), byId('citations')];
  let text = '';
  const known = new Map(); // Marker -> ids of its citations, in the order of the marks.
  say('');
  byId('result').hidden = false;
  byId('degraded').hidden = true;
  byId('facts').textContent = '';
  answer.setAttribute('aria-busy', 'true');
  answer.replaceChildren();
  list.replaceChildren();
  const take = {
    token: (data) => { text += data.text; draw(); },
    citation: (data) => {
      const id = `citation-${list.children.length + 1}`;
      known.set(data.marker, [...known.get(data.marker) ?? [], id]);
      list.append(citation(data, id));
      draw();
    },
    verification: (data) => {
      byId('facts').textContent = `${data.passed} of ${data.checked} claims hold; ${data.struck} struck.`;
    },
    done: (data) => {
      text = data.answer;
      draw();
      if (data.degraded.length > 0) {
        byId('degraded').textContent = `Without ${data.degraded.join(', ')}. · Ответ неполный.`;
        byId('degraded').hidden = false;
      }
    },
    error: (data) => say(data.detail),
  };
  // Marks whose citation is known become links to it: the second [1] to the second quote of 1.
  function draw() {
    const seen = new Map();
    answer.replaceChildren(...text.split(/(\[\d+\])/).map((part) => {
      const marker = Number(/^\[(\d+)\]$/.exec(part)?.[1]);
      if (!known.has(marker)) return document.createTextNode(part);
      const [ids, before] = [known.get(marker), seen.get(marker) ?? 0];
      seen.set(marker, before + 1);
      const id = ids[Math.min(before, ids.length - 1)];
      const link = document.createElement('a');
      link.href = `#${id}`;
      link.textContent = part;
      link.setAttribute('aria-label', `citation ${marker}`);
      const light = (on) => () => byId(id)?.classList.toggle('lit', on);
      link.addEventListener('mouseenter', light(true));
      link.addEventListener('mouseleave', light(false));
      return link;
    }));
  }
  return {
    take: (name, data) => take[name]?.(data),
    end: () => answer.setAttribute('aria-busy', 'false'),
  };
}

function citation(data, id) {
  const item = document.createElement('li');
  item.id = id;
  item.value = data.marker;
  const title = document.createElement('cite');
  title.textContent = data.title;
  const place = document.createElement('span');
  place.className = 'hint';
  place.textContent = ` · bytes ${data.start}–${data.end} · ${data.verdict}`;
  const quote = document.createElement('blockquote');
  quote.textContent = data.quote;
  item.append(title, place, quote);
  return item;
}
