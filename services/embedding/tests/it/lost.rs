//! Vectors that are kept, and not found by the requests that a fault strikes.

use std::sync::Arc;

use http::{Method, Request};
use serde_json::json;
use touchstone_api::model::ModelTask;
use touchstone_config::Secret;
use touchstone_faults::{KEY, PATH, Plane};
use touchstone_telemetry::Metrics;
use touchstone_testing::TestClient;
use touchstone_types::{IdSource, SystemClock};

use crate::fake::{App, Fake, app, model};

const SECRET: &str = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_asked_for_anew_by_those_who_are_struck() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    let App {
        router, identity, ..
    } = app(Some(&fake)).await;
    let (key, clock) = (Secret::from(SECRET), Arc::new(SystemClock));
    let plane = Plane::new(&key, 1, IdSource::system(), clock, &Metrics::new()).unwrap();
    let router = plane.around("embedding", router, None);
    let client = TestClient::new(router, identity.bearer(&identity.caller()));
    let input = json!({"input": ["kept"], "kind": "query"});
    client.post("/embeddings", &input).await;
    let ask = async |method: Method, body: String| {
        let request = Request::builder().method(method).uri(PATH);
        let request = request.header(KEY, SECRET).body(body.into());
        client.send(request.unwrap()).await.status.as_u16()
    };
    let fault = json!({"kind": "cache_loss", "share": 0.25, "seed": 3, "path": "/embeddings"});
    assert_eq!(ask(Method::POST, fault.to_string()).await, 201);
    for number in 0..64 {
        let before = fake.texts_of_calls().len();
        let answer = client.post("/embeddings", &input).await;
        assert_eq!(answer.status, 200);
        let is_struck = touchstone_faults::is_struck(3, 0.25, number);
        let calls = fake.texts_of_calls().len() - before;
        assert_eq!(calls, usize::from(is_struck), "{number}");
        assert_eq!(answer.headers.contains_key("x-fault-struck"), is_struck);
    }
    assert_eq!(ask(Method::DELETE, String::new()).await, 200);
    let before = fake.texts_of_calls().len();
    client.post("/embeddings", &input).await;
    assert_eq!(fake.texts_of_calls().len(), before);
}
