use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use touchstone_api_gateway::{AwayPolicy, Config, Plan};
use touchstone_testing::{Answer, TestClient};
use touchstone_types::Role;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports};

over_both_transports!(
    two_hundred_at_once_get_a_hundred,
    what_is_left_is_told_with_every_answer,
    a_batch_costs_its_items,
    a_forged_token_buys_no_bucket,
    a_stream_is_cut_when_its_tokens_end,
);

fn answering() -> Router {
    Router::new().fallback(async || "answered")
}

/// The defaults.
fn standard(config: &mut Config) -> &mut Plan {
    "standard".clone_into(&mut config.quota.limits.plan);
    let plans = &mut config.quota.limits.plans;
    plans.get_mut("standard").unwrap()
}

/// A plan with a limit per day, so that nothing comes back while a test runs.
fn daily(config: &mut Config, limit: u32) {
    let plan = standard(config);
    (plan.minute, plan.hour, plan.day) = (0, 0, limit);
}

async fn search(client: &TestClient) -> Answer {
    client.post("/search", &json!({ "query": "x" })).await
}

async fn two_hundred_at_once_get_a_hundred(mode: Mode) {
    let stack = Stack::with(mode, [("document", answering())], |config| {
        standard(config);
    })
    .await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let client = stack.client();
        calls.spawn(async move { client.get("/documents").await.status });
    }
    let answers = calls.join_all().await;
    let count = |status: StatusCode| answers.iter().filter(|known| **known == status).count();
    // The defaults: 100 in a minute.
    assert_eq!(
        (count(StatusCode::OK), count(StatusCode::TOO_MANY_REQUESTS)),
        (100, 100)
    );
    // Another user of the same tenant has a quota of its own.
    let other = stack.identity.caller_of(stack.caller.tenant, Role::Member);
    let other = TestClient::new(stack.router.clone(), stack.identity.bearer(&other));
    assert_eq!(other.get("/documents").await.status, StatusCode::OK);
    stack.stop().await;
}

async fn what_is_left_is_told_with_every_answer(mode: Mode) {
    let stack = Stack::with(mode, [("retrieval", answering())], |config| {
        let plan = standard(config);
        (plan.minute, plan.hour, plan.day) = (0, 5, 2);
        let class = plan.classes.entry("search".to_owned()).or_default();
        class.day = 7;
    })
    .await;
    let header = |answer: &Answer, name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let first = search(&stack.client()).await;
    assert_eq!(
        header(&first, "ratelimit-policy"),
        "\"hour\";q=5;w=3600, \"day\";q=2;w=86400, \"search-day\";q=7;w=86400"
    );
    let left = header(&first, "ratelimit");
    assert!(
        left.starts_with("\"hour\";r=4;t=") && left.contains("\"search-day\";r=6;t="),
        "{left}"
    );
    search(&stack.client()).await;
    let denied = search(&stack.client()).await;
    assert_eq!(denied.problem(), "429 gateway.quota_exceeded");
    let problem: Value = denied.json();
    assert_eq!(
        (&problem["type"], &problem["violated-policies"]),
        (
            &json!("https://iana.org/assignments/http-problem-types#quota-exceeded"),
            &json!(["day"])
        )
    );
    // The same moment in both.
    let wait = header(&denied, "retry-after");
    let left = header(&denied, "ratelimit");
    assert!(
        left.contains(&format!("\"day\";r=0;t={wait}")),
        "{left}, {wait}"
    );
    stack.stop().await;
}

async fn a_batch_costs_its_items(mode: Mode) {
    let services = [("embedding", answering()), ("vector", answering())];
    let stack = Stack::with(mode, services, |config| daily(config, 1000)).await;
    let batch = |items: usize| json!({ "input": vec!["text"; items] });
    let left = |answer: &Answer| answer.headers["ratelimit"].to_str().unwrap().to_owned();
    let whole = stack.client().post("/api/v1/embeddings", &batch(999)).await;
    assert_eq!(whole.text(), "answered");
    assert!(left(&whole).starts_with("\"day\";r=1;"), "{}", left(&whole));
    // All of it or nothing of it.
    let denied = stack.client().post("/v1/embeddings", &batch(2)).await;
    assert_eq!(denied.problem(), "429 gateway.quota_exceeded");
    assert!(denied.headers.contains_key("retry-after"));
    let one = stack
        .client()
        .post("/v1/embeddings", &json!({ "input": "text" }))
        .await;
    assert_eq!(one.status, StatusCode::OK);
    // Nobody is told to wait for what will never pass.
    let stack2 = Stack::with(mode, [("vector", answering())], |config| daily(config, 10)).await;
    let points = json!({ "points": vec![json!({ "id": 1, "dense": [0.1, 0.2] }); 11] });
    let path = "/api/v1/collections/c/points";
    let never = stack2.client().json(Method::PUT, path, &points).await;
    assert_eq!(never.problem(), "429 gateway.quota_exceeded");
    assert!(!never.headers.contains_key("retry-after") && never.text().contains("counts 11 times"));
    stack.stop().await;
    stack2.stop().await;
}

async fn a_forged_token_buys_no_bucket(mode: Mode) {
    let stack = Stack::with(mode, [("document", answering())], |config| {
        daily(config, 3);
        // Whose quota is looked at becomes an operator by that.
        "standard".clone_into(&mut config.quota.limits.operator);
        config.quota.limits.address.per_second = 1;
        config.quota.limits.address.burst = 50;
    })
    .await;
    let genuine = stack.token.clone();
    let (head, signature) = genuine.rsplit_once('.').unwrap();
    let mut passed = 0;
    let mut denied = 0;
    for number in 0..60 {
        // Another subject in each, and a signature that does not hold.
        let forged = format!("{head}x{number}.{signature}");
        let forged = TestClient::new(stack.router.clone(), forged);
        match forged.get("/documents").await.problem().as_str() {
            "401 auth.invalid_credential" => passed += 1,
            "429 gateway.quota_exceeded" => denied += 1,
            other => panic!("{other}"),
        }
    }
    // All of them came from one address, which may do 50 at once.
    assert!(passed >= 50 && denied > 0, "{passed} and {denied}");
    let operator = stack.operator();
    let caller = &stack.caller;
    let path = format!(
        "/admin/quotas?tenant={}&user={}",
        caller.tenant, caller.user
    );
    let standing: Value = operator.get(&path).await.json();
    // Nothing was counted for whom the forged ones named.
    let left = &standing["classes"]["read"]["day"]["remaining"];
    assert_eq!(left, 3, "{standing}");
    stack.stop().await;
}

async fn a_stream_is_cut_when_its_tokens_end(mode: Mode) {
    let streaming = Router::new().fallback(async || {
        let frames = (0..1000).map(|_| Ok::<_, std::io::Error>("data: {\"x\":1}\n\n"));
        let headers = [("content-type", "text/event-stream")];
        (headers, Body::from_stream(stream::iter(frames))).into_response()
    });
    let stack = Stack::with(mode, [("generation", streaming)], |config| {
        let plan = standard(config);
        (plan.tokens_minute, plan.tokens_day) = (0, 300);
    })
    .await;
    let ask = async || {
        let request = json!({ "max_tokens": 10 });
        stack.client().post("/v1/chat/completions", &request).await
    };
    let first = ask().await;
    assert_eq!(first.status, StatusCode::OK);
    let text = first.text();
    assert_eq!(text.matches("data: {\"x\":1}").count(), 300, "{text}");
    let (_, end) = text.rsplit_once("data: {\"x\":1}\n\n").unwrap();
    assert!(
        end.starts_with("data: {\"error\":") && end.contains("quota_exceeded"),
        "{end}"
    );
    let second = ask().await;
    assert_eq!(second.problem(), "429 gateway.quota_exceeded");
    assert_eq!(
        second.json::<Value>()["violated-policies"],
        json!(["tokens-day"])
    );
    stack.stop().await;
}

/// Sends a request over a connection of its own; the status.
async fn status_over_tcp(address: std::net::SocketAddr, headers: &str) -> u16 {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// What the service was told of each caller's address.
fn telling() -> Router {
    Router::new().fallback(async |request: axum::extract::Request| {
        let address = request.headers().get("x-client-address").cloned();
        address.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    })
}

async fn logins(trusted: &str, headers: impl Fn(usize) -> String) -> Vec<u16> {
    let stack = Stack::with(Mode::InProcess, [("auth", telling())], |config| {
        trusted.clone_into(&mut config.quota.trusted_proxies);
        "anonymous".clone_into(&mut config.quota.limits.anonymous);
        let plan = config.quota.limits.plans.get_mut("anonymous").unwrap();
        (plan.minute, plan.hour, plan.day) = (0, 0, 5);
    })
    .await;
    let address = stack.listen().await;
    let mut statuses = Vec::new();
    for number in 0..10 {
        statuses.push(status_over_tcp(address, &headers(number)).await);
    }
    stack.stop().await;
    statuses
}

#[tokio::test]
async fn what_a_stranger_says_of_its_address_changes_nothing() {
    let said = |number: usize| {
        format!(
            "X-Forwarded-For: 198.51.100.{number}\r\nForwarded: for=198.51.100.{number}\r\n\
             X-Real-IP: 198.51.100.{number}\r\nX-Client-Address: 198.51.100.{number}\r\n"
        )
    };
    let statuses = logins("", said).await;
    assert_eq!(statuses, [[200; 5], [429; 5]].concat());
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_bucket() {
    let own = |number: usize| format!("X-Forwarded-For: 203.0.113.9, 198.51.100.{number}\r\n");
    assert_eq!(logins("127.0.0.0/8", own).await, [200; 10]);
    // What the client itself said, further left, changes nothing.
    let spoofed = |number: usize| format!("X-Forwarded-For: 203.0.113.{number}, 198.51.100.1\r\n");
    assert_eq!(
        logins("127.0.0.0/8", spoofed).await,
        [[200; 5], [429; 5]].concat()
    );
    // A network of IPv6 is one client; who cannot be told shares a bucket.
    let network = |number: usize| format!("X-Forwarded-For: 2001:db8:1:1::{number}\r\n");
    assert_eq!(
        logins("127.0.0.0/8", network).await,
        [[200; 5], [429; 5]].concat()
    );
    let unknown = |number: usize| format!("X-Forwarded-For: hidden-{number}\r\n");
    assert_eq!(
        logins("127.0.0.0/8", unknown).await,
        [[200; 5], [429; 5]].concat()
    );
}

#[tokio::test]
async fn without_the_store_nobody_is_let_through_uncounted() {
    // Nobody listens there.
    let away = |config: &mut Config| {
        config.quota.store = "redis://127.0.0.1:1".into();
        daily(config, 10);
        let away = &mut config.quota.limits.away;
        away.insert("search".to_owned(), AwayPolicy::Closed);
    };
    let services = [("document", answering()), ("retrieval", answering())];
    let stack = Stack::with(Mode::InProcess, services, away).await;
    let mut passed = 0;
    for _ in 0..30 {
        let answer = stack.client().get("/documents").await;
        assert!(answer.status.as_u16() < 500, "{}", answer.text());
        passed += usize::from(answer.status == StatusCode::OK);
    }
    assert_eq!(passed, 10);
    let closed = search(&stack.client()).await;
    assert_eq!(closed.problem(), "503 gateway.quota_unavailable");
    assert!(closed.headers.contains_key("retry-after"));
    let metrics = stack.operator().get("/metrics").await.text();
    assert!(
        metrics.contains("touchstone_gateway_quota_mode{mode=\"share\"} 1"),
        "{metrics}"
    );
    stack.stop().await;
}

/// Three gateways that share a server.
async fn cluster(change: impl Fn(&mut Config)) -> Option<Vec<Stack>> {
    let server = touchstone_test_services::redis().await?;
    let name = format!(
        "gateway-{}",
        std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()
    );
    let uri = format!("{}?timeout=30s&prefix={name}", server.url());
    let mut stacks = Vec::new();
    for _ in 0..3 {
        let services = [("document", answering())];
        stacks.push(
            Stack::with(Mode::InProcess, services, |config| {
                config.quota.store = uri.as_str().into();
                change(config);
            })
            .await,
        );
    }
    Some(stacks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_admit_together_what_one_may() {
    let exactly = |config: &mut Config| {
        daily(config, 100);
        config.quota.leases = false;
    };
    let Some(stacks) = cluster(exactly).await else {
        return;
    };
    // The same user everywhere: identities of tests are alike.
    let token = Arc::new(stacks[0].token.clone());
    let mut calls = JoinSet::new();
    for number in 0..300 {
        let router = stacks[number % 3].router.clone();
        let token = Arc::clone(&token);
        calls.spawn(async move {
            let client = TestClient::new(router, token.as_str());
            client.get("/documents").await.status
        });
    }
    let answers = calls.join_all().await;
    let passed = answers.iter().filter(|status| **status == StatusCode::OK);
    let passed = passed.count();
    let denied = answers
        .iter()
        .filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((passed, passed + denied.count()), (100, 300));
    for stack in stacks {
        stack.stop().await;
    }
}

#[tokio::test]
async fn a_change_of_the_limits_reaches_every_gateway() {
    let Some(stacks) = cluster(|config| daily(config, 2)).await else {
        return;
    };
    let first = &stacks[0];
    first.operators.name(first.caller.tenant);
    let read = first.client().get("/api/v1/config").await;
    let mut limits: Value = read.json();
    limits["plan"] = json!("load");
    limits["operator"] = json!("load");
    let request = Request::put("/api/v1/config")
        .header("content-type", "application/json")
        .header("if-match", &read.headers["etag"])
        .body(Body::from(limits.to_string()))
        .unwrap();
    assert_eq!(first.client().send(request).await.status, StatusCode::OK);
    let reached = async {
        for stack in &stacks {
            while stack.client().get("/documents").await.status != StatusCode::OK
                || !limit_of(stack).await.contains("q=60000000")
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("every gateway has the new limits");
    for stack in stacks {
        stack.stop().await;
    }
}

async fn limit_of(stack: &Stack) -> String {
    let answer = stack.client().get("/documents").await;
    answer.headers["ratelimit-policy"]
        .to_str()
        .unwrap()
        .to_owned()
}
