//! What the system under test shows of itself once it has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use touchstone_api::vector::ScrollResponse;
use touchstone_document::domain::point::chunk_id;
use touchstone_types::DocumentId;

use super::reconcile::Stored;
use crate::support::Client;

/// Longest time without progress on the way to rest.
const REST: Duration = Duration::from_mins(3);
/// Originals that are read at once.
const READS: usize = 8;

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Waits until the bus is there and has every event.
pub async fn relayed(document: &str) {
    let http = reqwest::Client::builder().timeout(REST).build().unwrap();
    let started = Instant::now();
    loop {
        let told = http.get(format!("{document}/health")).send().await.unwrap();
        let told: Value = told.json().await.unwrap();
        let details = &told["details"];
        if details["kafka_connected"] == true && details["relay_backlog"] == 0 {
            return;
        }
        assert!(started.elapsed() < REST, "events wait: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn all(user: &Client, path: &str, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let after = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let page = user
            .get(&format!("{path}?limit=200{query}{after}"))
            .await
            .ok();
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return found;
        }
    }
}

/// Waits until no document is on its way, as long as some get there.
pub async fn rest(user: &Client) {
    for status in ["queued", "parsed", "chunked", "embedded"] {
        let (mut first, mut moved) = (Value::Null, Instant::now());
        loop {
            let page = user
                .get(&format!("/documents?limit=1&status={status}"))
                .await;
            let now = &page.body["items"];
            if page.status.is_success() && now.as_array().is_some_and(Vec::is_empty) {
                break;
            }
            if now[0]["id"] != first {
                (first, moved) = (now[0]["id"].clone(), Instant::now());
            }
            // What stays is for the reconciler to tell.
            if moved.elapsed() > REST {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Documents that were given up.
pub async fn dead_letters(user: &Client) -> Vec<Value> {
    all(user, "/dead-letters", "").await
}

/// Ids of the points of each document; none of them may be empty.
async fn points(user: &Client) -> BTreeMap<DocumentId, BTreeSet<String>> {
    let mut found: BTreeMap<DocumentId, BTreeSet<String>> = BTreeMap::new();
    let mut after = None;
    loop {
        let body = json!({"limit": 500, "after": after, "with_vectors": true});
        let page = user.post("/collections/chunks/scroll", &body).await.ok();
        let page: ScrollResponse = serde_json::from_value(page).unwrap();
        for point in page.points {
            // R7: a point that no query can find is none.
            let findable = point.dense.is_some() || !point.sparse.is_empty();
            assert!(findable, "an empty point: {}", point.id);
            let mut numbers = point.dense.iter().flatten();
            assert!(numbers.all(|it| it.is_finite()), "no number: {}", point.id);
            let ids = found.entry(point.payload.document_id).or_default();
            ids.insert(point.id.to_string());
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Everything that is there, with its bytes.
pub async fn stored(user: &Client) -> Vec<Stored> {
    let points = points(user).await;
    let documents = all(user, "/documents", "").await;
    let known: BTreeSet<_> = documents.iter().map(id).collect();
    let strangers: Vec<_> = points.keys().filter(|id| !known.contains(id)).collect();
    assert!(strangers.is_empty(), "points of no document: {strangers:?}");
    let read = documents
        .iter()
        .map(|document| one(user, document, &points));
    futures_util::stream::iter(read)
        .buffered(READS)
        .collect()
        .await
}

fn id(document: &Value) -> DocumentId {
    serde_json::from_value(document["id"].clone()).unwrap()
}

async fn one(
    user: &Client,
    document: &Value,
    points: &BTreeMap<DocumentId, BTreeSet<String>>,
) -> Stored {
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let id = id(document);
    let content = user.content(&text("id")).await;
    let chunks = document["chunk_count"].as_u64().unwrap_or_default() as u32;
    let version = document["version"].as_u64().unwrap_or(1) as u32;
    let wanted = (0..chunks).map(|ordinal| chunk_id(id, version, ordinal, None).to_string());
    Stored {
        key: text("filename").trim_end_matches(".txt").to_owned(),
        sha256: sha256(content.as_bytes()),
        status: text("status"),
        reason: document["failure"]["code"].as_str().map(str::to_owned),
        wanted: wanted.collect(),
        points: points.get(&id).cloned().unwrap_or_default(),
    }
}
