//! Redis and ClickHouse are no systems of record: whatever becomes of them, answers stay the same.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{Client, Deployment, Servers};

const TEXTS: [&str; 4] = [
    "The ferry to Brae leaves at nine and comes back at five.",
    "The lighthouse was lit for the first time in 1858.",
    "On Sundays the ferry does not leave before noon.",
    "Tickets for the lighthouse are sold on the pier.",
];
const QUESTIONS: [&str; 3] = ["ferry", "lighthouse tickets", "when is the pier open"];

/// What a user is told, without what differs from request to request.
async fn told(user: &Client) -> Vec<Value> {
    let listed = user.get("/documents?limit=200").await.ok();
    let mut all = vec![listed["items"].clone()];
    for question in QUESTIONS {
        let found = user.search(question).await;
        assert!(found["hits"][0]["document_id"].is_string(), "{found}");
        all.push(found["hits"].clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_redis_and_clickhouse_answers_stay_the_same() {
    let Some(servers) = Servers::exclusive().await else {
        return;
    };
    let redis = &servers.own.as_ref().unwrap().redis;
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let mut environment = servers.environment();
    for (name, value) in [
        // Nobody will ever listen there.
        ("CLICKHOUSE_URL", format!("http://{closed}")),
        // What is asked again must not be answered from memory.
        ("TOUCHSTONE_GATEWAY__CACHE__ENABLED", "false".to_owned()),
    ] {
        environment.all.push((name.to_owned(), value));
    }
    let system = Deployment::on(environment).await;
    let user = Client::register(&system.gateway, "away").await;
    for (number, text) in TEXTS.into_iter().enumerate() {
        let id = user.upload(&format!("{number}.txt"), text).await;
        user.indexed(&id).await;
    }
    let before = told(&user).await;

    redis.freeze().await;
    assert_eq!(told(&user).await, before, "Redis is silent");
    redis.thaw().await;

    redis.kill().await;
    assert!(TcpStream::connect(redis.address()).await.is_err());
    assert_eq!(told(&user).await, before, "Redis is gone");
    // Logins and documents need it as little as searches do.
    let other = Client::register(&system.gateway, "meanwhile").await;
    let id = other.upload("meanwhile.txt", "Redis is away.").await;
    other.indexed(&id).await;

    redis.restart().await;
    redis.wipe().await;
    assert_eq!(told(&user).await, before, "Redis is empty");

    let stats = user.get("/stats?period=day").await;
    assert_eq!(stats.problem(), "503 analytics.clickhouse_unavailable");
    let questions = user.post("/ask", &json!({"question": QUESTIONS[0]})).await;
    assert_eq!(questions.status, 200, "{}", questions.body);
    system.stop().await;
}
