//! The client ledger: operations against a process per service on real servers, faults in between,
//! and a comparison of what the client was told with what is there (R1 to R8).
//!
//! Each run guards itself against being vacuous: faults were injected into work in flight, most
//! operations succeeded, some were indefinite.

mod faults;
mod forgetful;
mod observe;
mod planted;
mod reconcile;
mod record;
mod zombie;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use touchstone_stack::Service;
use touchstone_testing::faults::TcpProxy;

use self::observe::sha256;
use self::reconcile::{Findings, reconcile};
use self::record::{Class, Entry, Ledger};
use crate::support::client::PATIENCE;
use crate::support::servers::local;
use crate::support::{Client, Deployment, Servers, deployment};

/// Operations of the quick run, in which each fault comes once.
const QUICK: usize = 2_000;
/// Operations and faults of the full one (`TOUCHSTONE_FULL`).
const FULL: (usize, usize) = (100_000, 200);
/// Other numbers, `operations,faults`, for a run between the two.
const SIZE: &str = "TOUCHSTONE_LEDGER";
const CLIENTS: usize = 8;
/// Repetitions of an operation whose end is not known, with the same key.
const REPETITIONS: usize = 40;
/// Longest wait for one answer: a client of a frozen server gives up.
const ANSWER: Duration = Duration::from_secs(5);

/// What the clients share.
struct Run {
    user: Client,
    ledger: Ledger,
    operations: usize,
    next: AtomicUsize,
    /// Operations that may begin by now: each fault has its share of them.
    released: AtomicUsize,
    in_flight: AtomicUsize,
}

impl Run {
    /// Writes its ledger in `folder`; nothing may begin yet.
    fn new(user: Client, folder: &Path, operations: usize) -> Self {
        Self {
            user,
            ledger: Ledger::create(&folder.join("ledger.jsonl")),
            operations,
            next: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Offers documents until all operations are done. Every 50th is refused by its rules.
    async fn work(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.operations {
                return;
            }
            while number >= self.released.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let key = format!("op-{number}");
            let content = if number % 50 == 49 {
                String::new()
            } else {
                format!(
                    "Operation {number} stores item {} on shelf {}.",
                    number * 37,
                    number % 9
                )
            };
            for _ in 0..REPETITIONS {
                if self.offer(&key, &content).await != Class::Info {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }

    async fn offer(&self, key: &str, content: &str) -> Class {
        let body = json!({"filename": format!("{key}.txt"), "content": content});
        let request = self.user.request(Method::POST, "/documents");
        let request = request.header("Idempotency-Key", key).timeout(ANSWER);
        let begun = Instant::now();
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = request.json(&body).send().await;
        let (class, id) = match answer {
            Ok(answer) if answer.status().is_success() => match answer.json::<Value>().await {
                Ok(document) => (Class::Ok, document["id"].as_str().map(str::to_owned)),
                Err(_) => (Class::Info, None),
            },
            // Too many requests is no judgement of the operation.
            Ok(answer) if answer.status() == 429 => (Class::Info, None),
            Ok(answer) if answer.status().is_client_error() => (Class::Fail, None),
            _ => (Class::Info, None),
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let entry = Entry {
            key: key.to_owned(),
            sha256: sha256(content.as_bytes()),
            class,
            id,
        };
        self.ledger.append(begun, entry);
        class
    }
}

/// Waits for a condition of the run, or for its end.
async fn until(run: &Run, good: impl Fn() -> bool) {
    let started = Instant::now();
    while !good() && run.next.load(Ordering::SeqCst) < run.operations {
        assert!(started.elapsed() < PATIENCE * 3, "the run stands still");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Operations and faults of this run; `kinds` faults are known.
fn size(kinds: usize) -> (usize, usize) {
    let asked = touchstone_config::variable(SIZE);
    let asked = asked.as_deref().and_then(|size| size.split_once(','));
    let full = touchstone_config::variable("TOUCHSTONE_FULL").is_some();
    match asked {
        Some((operations, faults)) => (operations.parse().unwrap(), faults.parse().unwrap()),
        None if full => FULL,
        None => (QUICK, kinds),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_doubled_or_changed_by_faults() {
    let Some(servers) = Servers::exclusive().await else {
        return;
    };
    let own = servers.own.as_ref().unwrap();
    let kinds = faults::known(own);
    let (operations, faults) = size(kinds.len());
    let ports = deployment::free_ports();
    let line = TcpProxy::start(local(ports[&Service::Document])).await;
    let mut environment = servers.environment();
    let through = ("DOCUMENT_SERVICE_URL".to_owned(), line.url("http"));
    environment.of.insert(Service::Gateway, vec![through]);
    let mut system = Deployment::at(ports, environment).await;
    // A token would run out before a long run does.
    let user = Client::register(&system.gateway, "ledger").await;
    let user = user.with_api_key().await;
    let outside = tempfile::tempdir().unwrap();
    let run = Arc::new(Run::new(user.clone(), outside.path(), operations));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&run).work());
    }
    let started = Instant::now();
    let (mut hit, mut recoveries) = (0, Vec::new());
    for number in 0..faults {
        let share = |shares: usize| operations * shares / (faults + 1);
        run.released.store(share(number + 1), Ordering::SeqCst);
        let begun = share(number) + CLIENTS;
        let busy = || run.in_flight.load(Ordering::SeqCst) > 0;
        until(&run, || run.next.load(Ordering::SeqCst) >= begun && busy()).await;
        let busy = busy();
        let fault = kinds[number % kinds.len()];
        fault.strike(&mut system, own, &line).await;
        let healed = Instant::now();
        let before = run.ledger.count(Class::Ok);
        run.released.store(share(number + 2), Ordering::SeqCst);
        until(&run, || run.ledger.count(Class::Ok) > before).await;
        recoveries.push(healed.elapsed());
        hit += usize::from(busy);
        println!(
            "{:?}: {number} {fault:?}: first success {:?} after the end, {before} accepted so far",
            started.elapsed(),
            healed.elapsed()
        );
    }
    clients.join_all().await;
    let offered = Instant::now();
    observe::rest(&user).await;
    println!("all documents at rest after {:?}", offered.elapsed());
    observe::relayed(&system.url(Service::Document)).await;
    println!("all events sent after {:?}", offered.elapsed());
    let stored = observe::stored(&user).await;
    let findings = reconcile(&run.ledger.entries(), &stored);
    recoveries.sort_unstable();
    let [ok, fail, info] = [Class::Ok, Class::Fail, Class::Info].map(|it| run.ledger.count(it));
    let repeated = run.ledger.repeated();
    println!(
        "{operations} operations, {faults} faults ({hit} into work in flight): {ok} ok, {fail} \
         refused, {info} indefinite, {repeated} of them repeated to the end; recovery p95 {:?}; \
         {} cut connections; {findings:?}",
        recoveries[recoveries.len() * 95 / 100],
        line.hits()
    );
    assert_eq!(findings, Findings::default());
    let dead: Vec<_> = observe::dead_letters(&user).await;
    let failed = stored.iter().filter(|it| it.status == "failed");
    assert_eq!(dead.len(), failed.count(), "{dead:?}");
    assert!(
        hit * 10 >= faults * 8,
        "{hit} of {faults} faults hit work in flight"
    );
    assert!(
        ok * 10 >= operations * 7,
        "only {ok} of {operations} succeeded"
    );
    assert!(info > 0, "no fault was felt");
    assert!(repeated > 0, "no operation was repeated with its key");
    assert!(line.hits() > 0, "no connection was cut");
    system.stop().await;
}
