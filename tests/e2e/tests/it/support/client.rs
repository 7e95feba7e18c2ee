use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::{IntoUrl, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use touchstone_api::generation::AskEvent;

/// Longest wait for anything: generous, because nothing here is a measurement.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The login name of a user that no other run has: a deployment may see several.
pub fn address(name: &str) -> String {
    static RUN: OnceLock<u64> = OnceLock::new();
    let run = RUN.get_or_init(|| RandomState::new().hash_one(()));
    format!("{name}-{run:x}@example.org")
}

/// A user of the gateway.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// Status and JSON of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// Status and code of a problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.body["status"], self.status.as_u16(), "{}", self.body);
        format!(
            "{} {}",
            self.status.as_u16(),
            self.body["code"].as_str().unwrap()
        )
    }

    /// The body of a success.
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }
}

impl Client {
    pub fn anonymous(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            http,
            base: base.to_owned(),
            token: None,
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// What it shows.
    pub fn token(&self) -> String {
        self.token.clone().unwrap()
    }

    /// The same user with a key, which lasts.
    pub async fn with_api_key(&self) -> Self {
        let named = json!({"name": "lasting"});
        let made = self.post("/auth/api-keys", &named).await.ok();
        self.with_token(made["key"].as_str().unwrap())
    }

    /// The same user at another gateway.
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// A new tenant with one user.
    pub async fn register(base: &str, name: &str) -> Self {
        let client = Self::anonymous(base);
        let body = json!({"email": address(name), "password": "correct horse battery"});
        let tokens = client.post("/auth/register", &body).await.ok();
        client.with_token(tokens["access_token"].as_str().unwrap())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_at(method, format!("{}/api/v1{path}", self.base))
    }

    /// As [`request`](Self::request), with the whole URL.
    pub fn request_at(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let mut response;
        let mut next = Some(request);
        // Deployments have limits: who is told to come later does so.
        loop {
            let request = next.take().unwrap();
            next = request.try_clone();
            response = request.send().await.unwrap();
            let wait = response.headers().get("retry-after");
            let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
            match wait {
                Some(wait)
                    if response.status() == StatusCode::TOO_MANY_REQUESTS && next.is_some() =>
                {
                    assert!(wait <= PATIENCE.as_secs(), "{wait} s to wait");
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                }
                _ => break,
            }
        }
        let status = response.status();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Uploads text and returns the document's id.
    pub async fn upload(&self, filename: &str, content: &str) -> String {
        let body = json!({"filename": filename, "content": content});
        let accepted = self.post("/documents", &body).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
        accepted.body["id"].as_str().unwrap().to_owned()
    }

    /// Uploads bytes as multipart.
    pub async fn upload_bytes(&self, filename: &str, content: Vec<u8>) -> Answer {
        let part = reqwest::multipart::Part::bytes(content).file_name(filename.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        self.send(self.request(Method::POST, "/documents").multipart(form))
            .await
    }

    /// The document once no worker will touch it any more.
    pub async fn settled(&self, id: &str) -> Value {
        let started = Instant::now();
        loop {
            let document = self.get(&format!("/documents/{id}")).await.ok();
            if ["indexed", "failed", "cancelled"].contains(&document["status"].as_str().unwrap()) {
                return document;
            }
            assert!(started.elapsed() < PATIENCE, "{document} does not settle");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The document, which must get indexed.
    pub async fn indexed(&self, id: &str) -> Value {
        let document = self.settled(id).await;
        assert_eq!(document["status"], "indexed", "{document}");
        document
    }

    pub async fn search(&self, query: &str) -> Value {
        self.post("/search", &json!({"query": query})).await.ok()
    }

    pub async fn ask(&self, question: &str) -> Value {
        self.post("/ask", &json!({"question": question})).await.ok()
    }

    /// Every event of a streamed answer.
    pub async fn ask_stream(&self, question: &str) -> Vec<AskEvent> {
        let body = json!({"question": question, "stream": true});
        let response: Response = self
            .request(Method::POST, "/ask")
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events = touchstone_client::sse::events(response.bytes_stream());
        events
            .map(|event| touchstone_client::decode_ask_event(&event.unwrap()).unwrap())
            .collect()
            .await
    }

    /// The stored text of a document.
    pub async fn content(&self, id: &str) -> String {
        let request = self.request(Method::GET, &format!("/documents/{id}/content"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    }
}
