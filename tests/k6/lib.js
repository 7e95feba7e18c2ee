// Users like those of the load suite: registered and logged in, each with a document.
import http from 'k6/http';
import { check, fail } from 'k6';

export const base = __ENV.TOUCHSTONE_URL || 'http://127.0.0.1:8000';
const json = { 'Content-Type': 'application/json' };
export const QUESTION = 'When was the lighthouse of Averholm lit for the first time?';
const TEXT = '# The port of Averholm\n\nThe lighthouse of Averholm was lit for the first time in 1702.\n';

// Accounts for all users: k6 calls it once and hands the result to every user.
export function accounts(count) {
  const users = [];
  for (let number = 0; number < count; number += 1) {
    const unique = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    const body = JSON.stringify({ email: `k6-${unique}@load.invalid`, password: `pw-${unique}-${unique}` });
    const made = http.post(`${base}/api/v1/auth/register`, body, { headers: json });
    if (made.status !== 201) fail(`no account: ${made.status} ${made.body}`);
    const token = made.json('access_token');
    const headers = { ...json, Authorization: `Bearer ${token}` };
    const document = JSON.stringify({ filename: 'port-000.md', content: TEXT, language: 'en' });
    const accepted = http.post(`${base}/api/v1/documents`, document, { headers });
    if (accepted.status > 202) fail(`no document: ${accepted.status} ${accepted.body}`);
    users.push({ token, document: accepted.json('id') });
  }
  return users;
}

export function as(user) {
  return { headers: { ...json, Authorization: `Bearer ${user.token}` } };
}

export const list = (user) =>
  check(http.get(`${base}/api/v1/documents?limit=20`, as(user)), { listed: (r) => r.status === 200 && r.json('items').length > 0 });
export const details = (user) =>
  check(http.get(`${base}/api/v1/documents/${user.document}`, as(user)), { shown: (r) => r.json('id') === user.document });
export const statistics = (user) =>
  check(http.get(`${base}/api/v1/stats`, as(user)), { counted: (r) => r.status === 200 });
export const search = (user) =>
  check(http.post(`${base}/api/v1/search`, JSON.stringify({ query: QUESTION, limit: 5 }), as(user)), { found: (r) => r.status === 200 });
export const write = (user) => {
  const unique = Math.random().toString(36).slice(2);
  const note = { filename: `note-${unique}.md`, content: `# Note ${unique}\n\nThe tide came late.\n`, language: 'en' };
  return check(http.post(`${base}/api/v1/documents`, JSON.stringify(note), as(user)), { written: (r) => [200, 202].includes(r.status) && r.json('id') !== undefined });
};
export const ask = (user) =>
  check(http.post(`${base}/api/v1/ask`, JSON.stringify({ question: QUESTION, provider: 'extractive' }), as(user)), { answered: (r) => r.status === 200 });
