//! Planted bug: the count-back is answered from what was promised, while points are dropped. It
//! sits between document and vector; the services themselves are as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use touchstone_stack::Service;

use super::observe;
use super::reconcile::{Findings, reconcile};
use super::record::{Class, Entry};
use crate::support::deployment::{Environment, free_ports};
use crate::support::{Client, Deployment};

const DOCUMENTS: usize = 12;

/// A vector service that forgets some of what it promised.
#[derive(Clone)]
struct Forgetful {
    upstream: String,
    http: reqwest::Client,
    /// Points promised by document; removals forget them.
    promised: Arc<Mutex<BTreeMap<String, u64>>>,
}

async fn pass(State(it): State<Forgetful>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path.ends_with("/points") && asked["points"].is_array() {
        return it.upsert(&parts, asked).await;
    }
    if path.ends_with("/points/delete") {
        for id in ids(&asked["filter"]) {
            it.promised.lock().unwrap().remove(&id);
        }
    }
    if path.ends_with("/count") {
        let promised = it.promised.lock().unwrap();
        let count: u64 = ids(&asked["filter"])
            .iter()
            .filter_map(|id| promised.get(id))
            .sum();
        return axum_json(&json!({ "count": count }));
    }
    it.forward(&parts, body).await
}

fn ids(filter: &Value) -> Vec<String> {
    let ids = filter["document_ids"].as_array().into_iter().flatten();
    ids.filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

fn axum_json(body: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (StatusCode::OK, kind, body.to_string()).into_response()
}

impl Forgetful {
    /// Keeps all but the first point.
    async fn upsert(&self, parts: &axum::http::request::Parts, mut asked: Value) -> Response {
        let points = asked["points"].as_array_mut().unwrap();
        let total = points.len();
        for point in points.iter() {
            let id = point["payload"]["document_id"].as_str().unwrap().to_owned();
            *self.promised.lock().unwrap().entry(id).or_default() += 1;
        }
        points.remove(0);
        if !points.is_empty() {
            let answer = self.forward(parts, asked.to_string().into()).await;
            if !answer.status().is_success() {
                return answer;
            }
        }
        axum_json(&json!({ "upserted": total }))
    }

    async fn forward(&self, parts: &axum::http::request::Parts, body: Bytes) -> Response {
        let mut headers = parts.headers.clone();
        headers.remove("content-length");
        headers.remove("host");
        let url = format!("{}{}", self.upstream, parts.uri);
        let request = self.http.request(parts.method.clone(), url);
        let answer = request.headers(headers).body(body).send().await.unwrap();
        let (status, kind) = (
            answer.status(),
            answer.headers().get("content-type").cloned(),
        );
        let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert("content-type", kind);
        }
        response
    }
}

/// Uploads documents past a forgetful vector; what the ledger finds.
async fn run() -> Findings {
    let ports = free_ports();
    let forgetful = Forgetful {
        upstream: format!("http://127.0.0.1:{}", ports[&Service::Vector]),
        http: reqwest::Client::builder().build().unwrap(),
        promised: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    let router = Router::new().fallback(pass).with_state(forgetful);
    server.spawn(async move { axum::serve(listener, router).await });
    let mut environment = Environment::default();
    let through = ("VECTOR_SERVICE_URL".to_owned(), url);
    environment.of.insert(Service::Document, vec![through]);
    let system = Deployment::at(ports, environment).await;
    let user = Client::register(&system.gateway, "forgetful").await;
    let mut ledger = Vec::new();
    for number in 0..DOCUMENTS {
        let (key, content) = (
            format!("op-{number}"),
            format!("Item {number} is on a shelf."),
        );
        let id = user.upload(&format!("{key}.txt"), &content).await;
        ledger.push(Entry {
            key,
            sha256: observe::sha256(content.as_bytes()),
            class: Class::Ok,
            id: Some(id),
        });
    }
    for entry in &ledger {
        user.settled(entry.id.as_deref().unwrap()).await;
    }
    let findings = reconcile(&ledger, &observe::stored(&user).await);
    system.stop().await;
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_nobody_counted_back_are_caught() {
    let findings = Box::pin(run()).await;
    assert!(!findings.miscounted.is_empty(), "{findings:?}");
}
