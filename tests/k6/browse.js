// Lists 60 %, details 20 %, statistics 15 %, writes 5 %: k6 run -e USERS=100 -e DURATION=5m tests/k6/browse.js
import exec from 'k6/execution';
import { sleep } from 'k6';
import { accounts, details, list, statistics, write } from './lib.js';

const count = Number(__ENV.USERS || 100);
export const options = {
  scenarios: { browsing: { executor: 'constant-vus', vus: count, duration: __ENV.DURATION || '5m' } },
  thresholds: { http_req_failed: ['rate<0.01'], 'http_req_duration{scenario:browsing}': ['p(95)<500'] },
  setupTimeout: '10m',
};
export const setup = () => accounts(Math.min(count, 100));

export default function (users) {
  const user = users[(exec.vu.idInTest - 1) % users.length];
  const drawn = Math.random();
  if (drawn < 0.6) list(user);
  else if (drawn < 0.8) details(user);
  else if (drawn < 0.95) statistics(user);
  else write(user);
  sleep(0.1 + Math.random() * 0.9);
}
