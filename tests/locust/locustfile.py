"""The browsing users of the load suite: locust -f tests/locust/locustfile.py --headless -u 100 -r 10 -t 5m"""

import secrets

from locust import HttpUser, between, task

TEXT = "# The port of Averholm\n\nThe lighthouse of Averholm was lit for the first time in 1702.\n"


class Reader(HttpUser):
    """Registers, uploads a document, then reads."""

    host = "http://127.0.0.1:8000"
    wait_time = between(0.1, 1)

    def on_start(self):
        unique = secrets.token_hex(8)
        account = {"email": f"locust-{unique}@load.invalid", "password": secrets.token_hex(20)}
        made = self.client.post("/api/v1/auth/register", json=account, name="register")
        self.client.headers["Authorization"] = f"Bearer {made.json()['access_token']}"
        text = {"filename": "port-000.md", "content": TEXT, "language": "en"}
        self.document = self.client.post("/api/v1/documents", json=text, name="upload").json()["id"]

    def checked(self, answer, right):
        with answer as found:
            if found.status_code == 200 and not right(found.json()):
                found.failure("not what it should be")

    @task(60)
    def list(self):
        call = self.client.get("/api/v1/documents?limit=20", name="documents.list", catch_response=True)
        self.checked(call, lambda page: page["items"])

    @task(20)
    def details(self):
        path = f"/api/v1/documents/{self.document}"
        call = self.client.get(path, name="documents.get", catch_response=True)
        self.checked(call, lambda document: document["id"] == self.document)

    @task(15)
    def statistics(self):
        self.client.get("/api/v1/stats", name="stats")

    @task(5)
    def write(self):
        unique = secrets.token_hex(8)
        note = {"filename": f"note-{unique}.md", "content": f"# Note {unique}\n\nThe tide came late.\n", "language": "en"}
        call = self.client.post("/api/v1/documents", json=note, name="documents.create", catch_response=True)
        self.checked(call, lambda document: document["id"])
