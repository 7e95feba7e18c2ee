//! SIGTERM for one service after the other, one instance of each, while users read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use touchstone_stack::Service;

use crate::support::{Client, Deployment, Mode};

const READERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_stops_cleanly_refuses_in_plain_words_and_ends_well() {
    let mut system = Deployment::start(Mode::Processes).await;
    let user = Client::register(&system.gateway, "rolling").await;
    let id = user
        .upload("rolling.txt", "The ferry to Brae leaves at nine.")
        .await;
    user.indexed(&id).await;
    let (stop, answers) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (user, id) = (user.clone(), id.clone());
        let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
        readers.spawn(async move {
            let mut seen = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let document = user.get(&format!("/documents/{id}")).await;
                let found = user.post("/search", &json!({"query": "ferry"})).await;
                for answer in [document, found] {
                    answers.fetch_add(1, Ordering::SeqCst);
                    if !answer.status.is_success() {
                        seen.push(format!("{}: {}", answer.status, answer.body["code"]));
                    }
                }
            }
            seen
        });
    }
    // The gateway itself is restarted behind a balancer, which is not here.
    for service in Service::ALL
        .into_iter()
        .filter(|it| *it != Service::Gateway)
    {
        let before = answers.load(Ordering::SeqCst);
        while answers.load(Ordering::SeqCst) < before + READERS {
            tokio::task::yield_now().await;
        }
        system.terminate(service).await;
        system.respawn(service).await;
    }
    stop.store(true, Ordering::SeqCst);
    let errors: Vec<String> = readers.join_all().await.concat();
    let answers = answers.load(Ordering::SeqCst);
    println!("{answers} answers, {} refusals", errors.len());
    // With one instance of each there is nobody to take over: refusals that invite to come again.
    let plain = |error: &&String| error.starts_with("503") || error.starts_with("504");
    let others: Vec<_> = errors.iter().filter(|error| !plain(error)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(user.get(&format!("/documents/{id}")).await.status, 200);
    assert!(user.search("ferry").await["hits"].is_array());
    system.stop().await;
}
