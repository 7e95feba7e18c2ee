//! Faults of events: what is lost is found again in SQL, what comes twice has its effect once.

use serde_json::{Value, json};
use touchstone_stack::Service;

use super::plane::{Plane, foretold, stack};
use crate::support::{Client, Deployment};

/// Documents per kind.
const DOCUMENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_indexed_once_whatever_becomes_of_their_events() {
    let stack = stack().await;
    documents_are_indexed_once(&stack).await;
    stack.stop().await;
}

/// Of half of the events each.
pub async fn documents_are_indexed_once(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "events").await;
    let document = Plane::of(stack, Service::Document);
    for (kind, word, ms) in [
        ("lose_event", "marzipan", None),
        ("repeat_event", "obsidian", None),
        ("late_event", "pontoon", Some(30)),
    ] {
        let mut spec = json!({"kind": kind, "topic": "document.work", "share": 0.5});
        if let Some(ms) = ms {
            spec["ms"] = json!(ms);
        }
        let id = document.ask(spec).await;
        let mut uploaded = Vec::new();
        for number in 0..DOCUMENTS {
            let text = format!("The {word} of house {number} is kept in the cellar.");
            uploaded.push(user.upload(&format!("{word}-{number}.txt"), &text).await);
        }
        document.struck(id, 1).await;
        for own in &uploaded {
            user.indexed(own).await;
        }
        document.clear(id).await;
        assert!(foretold(&document, id).await.matched >= DOCUMENTS as u64);
        let strikes = document.strikes(id).await;
        assert!(
            strikes.iter().all(|strike| strike.path == "document.work"),
            "{strikes:?}"
        );
        let found = user.search(word).await;
        let hits = found["hits"].as_array().unwrap();
        let mut ids: Vec<&Value> = hits.iter().map(|hit| &hit["document_id"]).collect();
        let all = ids.len();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        assert_eq!(ids.len(), all, "{kind}: each document is found once");
        assert_eq!(all, DOCUMENTS, "{kind}: {found}");
    }
}
