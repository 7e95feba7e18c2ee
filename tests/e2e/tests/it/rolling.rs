//! SIGTERM for one process after the other while users read and write: with one instance of each
//! service the refusals are plain; with two of each nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use touchstone_stack::Service;

use crate::support::client::PATIENCE;
use crate::support::pair::{alone, pair};
use crate::support::{Client, Deployment, Mode, Servers};

const READERS: usize = 4;
const WRITERS: usize = 2;

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
    // A breaker that saw a service go looks again within half a minute.
    let back = async {
        while user.get(&format!("/documents/{id}")).await.status != 200
            || user
                .post("/search", &json!({"query": "ferry"}))
                .await
                .status
                != 200
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    system.stop().await;
}

/// Two deployments whose services know both instances of each other, and who uses them.
struct Pair {
    halves: [Deployment; 2],
    traffic: Arc<Traffic>,
}

/// What the users share.
struct Traffic {
    /// A user at each gateway; the same one.
    doors: [Client; 2],
    /// Gateways that the balancer in front does not use, because they are about to stop. Who sends
    /// a request holds it for reading, as a balancer finishes what it began.
    closed: [RwLock<bool>; 2],
    stop: AtomicBool,
    answers: AtomicUsize,
}

impl Traffic {
    /// Sends a request through a gateway that is open; what is wrong with the answer, if anything.
    async fn send(
        &self,
        number: usize,
        path: &str,
        body: Option<(&Value, String)>,
    ) -> Option<String> {
        for turn in 0.. {
            let door = (number + turn) % 2;
            let closed = self.closed[door].read().await;
            if *closed {
                continue;
            }
            let user = &self.doors[door];
            let request = match body {
                Some((body, ref key)) => {
                    let request = user.request(reqwest::Method::POST, path).json(body);
                    request.header("Idempotency-Key", key)
                }
                None => user.request(reqwest::Method::GET, path),
            };
            let answer = request.send().await;
            self.answers.fetch_add(1, Ordering::SeqCst);
            return match answer {
                Ok(answer) if answer.status().is_success() => {
                    let degraded = answer.headers().get("degraded");
                    degraded.map(|how| format!("{path}: degraded {how:?}"))
                }
                Ok(answer) => {
                    let status = answer.status();
                    let told = answer.text().await.unwrap_or_default();
                    Some(format!("{path}: {status} {told}"))
                }
                Err(error) => Some(format!("{path}: {error:?}")),
            };
        }
        None
    }

    /// Reads, searches and asks until told to stop; the errors.
    async fn read(self: Arc<Self>, reader: usize, id: String) -> Vec<String> {
        let mut errors = Vec::new();
        let mut number = reader;
        while !self.stop.load(Ordering::SeqCst) {
            number += READERS;
            let query = json!({"query": format!("ferry {number}")});
            let question = json!({"question": format!("When does ferry {number} leave?")});
            let key = |kind: &str| format!("{kind}-{number}");
            errors.extend(self.send(number, &format!("/documents/{id}"), None).await);
            let found = self.send(number, "/search", Some((&query, key("search"))));
            errors.extend(found.await);
            let asked = self.send(number, "/ask", Some((&question, key("ask"))));
            errors.extend(asked.await);
        }
        errors
    }

    /// Uploads until told to stop; the errors, and how many uploads there were.
    async fn write(self: Arc<Self>, writer: usize) -> (Vec<String>, usize) {
        let (mut errors, mut uploads) = (Vec::new(), 0);
        while !self.stop.load(Ordering::SeqCst) {
            let name = format!("{writer}-{uploads}.txt");
            let content = format!("Writer {writer} notes that item {uploads} is on a shelf.");
            let body = json!({"filename": name, "content": content});
            let sent = self.send(uploads, "/documents", Some((&body, name)));
            errors.extend(sent.await);
            uploads += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (errors, uploads)
    }

    /// Waits until every user has got a few answers more.
    async fn goes_on(&self) {
        let before = self.answers.load(Ordering::SeqCst);
        let started = std::time::Instant::now();
        while self.answers.load(Ordering::SeqCst) < before + 10 * (READERS + WRITERS) {
            assert!(started.elapsed() < PATIENCE, "nobody gets answers");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Pair {
    async fn start(servers: &Servers) -> Self {
        let halves = pair(servers, alone(servers)).await;
        let user = Client::register(&halves[0].gateway, "pair").await;
        let doors = [user.clone(), user.at(&halves[1].gateway)];
        let traffic = Traffic {
            doors,
            closed: [RwLock::new(false), RwLock::new(false)],
            stop: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
        };
        Self {
            halves,
            traffic: Arc::new(traffic),
        }
    }

    /// SIGTERM and a new process for an instance.
    async fn restart(&mut self, half: usize, service: Service) {
        if service == Service::Gateway {
            *self.traffic.closed[half].write().await = true;
        }
        self.halves[half].terminate(service).await;
        self.halves[half].respawn(service).await;
        if service == Service::Gateway {
            *self.traffic.closed[half].write().await = false;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_instances_of_each_service_costs_nobody_an_answer() {
    let Some(servers) = Servers::shared().await else {
        return;
    };
    let mut pair = Pair::start(&servers).await;
    let user = pair.traffic.doors[0].clone();
    let id = user
        .upload("ferry.txt", "The ferry to Brae leaves at nine.")
        .await;
    user.indexed(&id).await;
    let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
    for reader in 0..READERS {
        readers.spawn(Arc::clone(&pair.traffic).read(reader, id.clone()));
    }
    for writer in 0..WRITERS {
        writers.spawn(Arc::clone(&pair.traffic).write(writer));
    }
    for half in 0..2 {
        for service in Service::ALL {
            if alone(&servers).contains(&service) {
                continue;
            }
            pair.traffic.goes_on().await;
            pair.restart(half, service).await;
        }
    }
    pair.traffic.goes_on().await;
    pair.traffic.stop.store(true, Ordering::SeqCst);
    let mut errors: Vec<String> = readers.join_all().await.concat();
    let mut uploads = 1;
    for (seen, written) in writers.join_all().await {
        errors.extend(seen);
        uploads += written;
    }
    let answers = pair.traffic.answers.load(Ordering::SeqCst);
    println!(
        "{answers} answers, {uploads} uploads, {} errors",
        errors.len()
    );
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(uploads > WRITERS, "nobody wrote");
    // Two relays and two consumers were at it all the while.
    assert_eq!(settled(&user).await, uploads);
    for half in pair.halves {
        half.stop().await;
    }
}

/// How many documents there are, once all of them are indexed.
async fn settled(user: &Client) -> usize {
    let started = std::time::Instant::now();
    loop {
        let (mut statuses, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = user
                .get(&format!("/documents?limit=200{cursor}"))
                .await
                .ok();
            let items = page["items"].as_array().unwrap().iter();
            statuses.extend(items.map(|item| item["status"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if statuses.iter().all(|status| status == "indexed") {
            return statuses.len();
        }
        assert!(started.elapsed() < PATIENCE * 2, "{statuses:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
