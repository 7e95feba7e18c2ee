"""For `touchstone conformance`: one URL, as many users as needed for RATE a second."""

import os

from locust import HttpUser, constant_throughput, task

RATE = float(os.environ["RATE"])
USERS = int(os.environ.get("USERS", "50"))


class Probe(HttpUser):
    wait_time = constant_throughput(RATE / USERS)

    @task
    def probe(self):
        with self.client.get("", catch_response=True) as answer:
            if answer.status_code == 200 and "touchstone-probe" not in answer.text:
                answer.failure("not what it should be")
