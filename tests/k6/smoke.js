// Fifty requests, five at once: k6 run tests/k6/smoke.js
import exec from 'k6/execution';
import { accounts, ask, details, list, search, statistics } from './lib.js';

export const options = {
  scenarios: { all: { executor: 'shared-iterations', vus: 5, iterations: 50 } },
  thresholds: { http_req_failed: ['rate==0'], checks: ['rate==1'], 'http_req_duration{scenario:all}': ['p(95)<100'] },
};
export const setup = () => accounts(5);

export default function (users) {
  const user = users[(exec.vu.idInTest - 1) % users.length];
  [list, details, search, ask, statistics][exec.scenario.iterationInTest % 5](user);
}
