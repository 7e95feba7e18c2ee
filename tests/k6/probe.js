// For `touchstone conformance`: one URL at an even rate, with room for what waits.
import http from 'k6/http';
import { check } from 'k6';

const rate = Number(__ENV.RATE);
export const options = {
  scenarios: {
    probe: {
      executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: 200, maxVUs: 3000,
    },
  },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)'],
};

export default function () {
  check(http.get(__ENV.URL), { right: (r) => r.status === 200 && String(r.body).includes('touchstone-probe') });
}
