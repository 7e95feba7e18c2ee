//! kill -9 of the whole process at random moments of an ingest: nothing accepted is lost, doubled
//! or stuck. SIGKILL proves process death, not power loss.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::{PATIENCE, address};
use crate::support::{Client, Process};

const QUICK_ROUNDS: u64 = 3;
const FULL_ROUNDS: u64 = 30;
/// So many times as many rounds at most, until a kill hit uploads and unfinished work.
const MOST_TIMES: u64 = 10;
/// Clients that upload at the same time, so that the kill finds work in every state.
const CLIENTS: usize = 6;
/// Documents that each of them offers in a round.
const DOCUMENTS: usize = 40;

/// What the client was told, kept outside of the system under test.
#[derive(Clone, Default)]
struct Ledger {
    /// 2xx with an id: must be there.
    accepted: BTreeSet<String>,
    /// Connection lost: may be there.
    indefinite: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_doubled_or_stuck() {
    let rounds = if touchstone_config::variable("TOUCHSTONE_FULL").is_some() {
        FULL_ROUNDS
    } else {
        QUICK_ROUNDS
    };
    let folder = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (process, gateway) = Process::stack(folder.path()).await;
    Client::register(&gateway, "crash").await;
    process.kill().await;
    let (mut in_flight, mut unfinished) = (0, 0);
    let mut round = 0;
    // Whether a kill hits something is chance: rounds are added until some did.
    while round < rounds || ((in_flight == 0 || unfinished == 0) && round < rounds * MOST_TIMES) {
        let (process, gateway) = Process::stack(folder.path()).await;
        let user = log_in(&gateway).await;
        let known = ledger.lock().unwrap().indefinite;
        let mut uploads = JoinSet::new();
        for client in 0..CLIENTS {
            uploads.spawn(offer(user.clone(), round, client, Arc::clone(&ledger)));
        }
        tokio::time::sleep(Duration::from_millis(rng.next_u64() % 400)).await;
        process.kill().await;
        uploads.join_all().await;
        let indefinite = ledger.lock().unwrap().indefinite;
        in_flight += usize::from(indefinite > known);

        let (process, gateway) = Process::stack(folder.path()).await;
        let user = log_in(&gateway).await;
        unfinished += usize::from(settle(&user).await);
        let told = ledger.lock().unwrap().clone();
        reconcile(&user, &told).await;
        process.kill().await;
        round += 1;
    }
    let ledger = ledger.lock().unwrap();
    println!(
        "{round} rounds, {} accepted, {} indefinite, {unfinished} with unfinished work after the kill",
        ledger.accepted.len(),
        ledger.indefinite
    );
    assert!(
        !ledger.accepted.is_empty() && in_flight > 0 && unfinished > 0,
        "the kills hit nothing"
    );
}

async fn log_in(gateway: &str) -> Client {
    let client = Client::anonymous(gateway);
    let account = json!({"email": address("crash"), "password": "correct horse battery"});
    let tokens = client.post("/auth/login", &account).await.ok();
    client.with_token(tokens["access_token"].as_str().unwrap())
}

/// Uploads until the process dies, and writes down what it was told.
async fn offer(user: Client, round: u64, client: usize, ledger: Arc<Mutex<Ledger>>) {
    for number in 0..DOCUMENTS {
        let sentences: Vec<String> = (0..40)
            .map(|line| {
                let (item, shelf) = (line * 37, line % 9);
                format!(
                    "Round {round}, client {client}, document {number}: item {item} is on shelf {shelf}."
                )
            })
            .collect();
        let sentences = sentences.join(" ");
        let body =
            json!({"filename": format!("{round}-{client}-{number}.txt"), "content": sentences});
        let request = user
            .request(reqwest::Method::POST, "/documents")
            .json(&body);
        let answer = request.send().await;
        let id = match answer {
            Ok(answer) if answer.status().is_success() => answer.json::<Value>().await.ok(),
            _ => None,
        };
        let mut ledger = ledger.lock().unwrap();
        match id {
            Some(document) => {
                ledger
                    .accepted
                    .insert(document["id"].as_str().unwrap().to_owned());
            }
            None => {
                ledger.indefinite += 1;
                return;
            }
        }
    }
}

/// Waits until no document is on its way; whether any was.
async fn settle(user: &Client) -> bool {
    let mut any = false;
    let started = std::time::Instant::now();
    for status in ["queued", "parsed", "chunked", "embedded"] {
        while !page(user, &format!("status={status}&limit=1"))
            .await
            .0
            .is_empty()
        {
            any = true;
            assert!(
                started.elapsed() < PATIENCE,
                "documents are stuck in `{status}`"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    any
}

async fn page(user: &Client, query: &str) -> (Vec<Value>, Option<String>) {
    let page = user.get(&format!("/documents?{query}")).await.ok();
    let cursor = page["next_cursor"].as_str().map(str::to_owned);
    (page["items"].as_array().unwrap().clone(), cursor)
}

async fn reconcile(user: &Client, ledger: &Ledger) {
    let (mut documents, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let after = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let (items, next) = page(user, &format!("limit=200{after}")).await;
        documents.extend(items);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let stored: BTreeSet<String> = documents
        .iter()
        .map(|document| document["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(stored.len(), documents.len(), "an id is listed twice");
    let missing: Vec<_> = ledger.accepted.difference(&stored).collect();
    assert!(missing.is_empty(), "accepted and lost: {missing:?}");
    let extra = stored.difference(&ledger.accepted).count();
    assert!(
        extra <= ledger.indefinite,
        "{extra} documents that nobody was told of"
    );
    let mut names = BTreeSet::new();
    let mut chunks = 0;
    for document in &documents {
        assert_eq!(document["status"], "indexed", "{document}");
        assert!(
            names.insert(document["filename"].as_str().unwrap()),
            "doubled: {document}"
        );
        chunks += document["chunk_count"].as_u64().unwrap();
    }
    let points = user
        .post("/collections/chunks/count", &json!({}))
        .await
        .ok();
    assert_eq!(points["count"], chunks, "points and chunks differ");
}
