//! Posts become documents: made, changed and deleted as the posts are.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use touchstone_telegram_simulator::{Post, PostRequest};

use crate::support::{DUROV, Scene, world};

/// A document service that keeps what it is given, and repeats answers by key as the real one does.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    documents: BTreeMap<String, Value>,
    answers: BTreeMap<String, Value>,
    made: u64,
    /// Requests that fail before the next one is dealt with.
    failures: u32,
}

impl Shelf {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/documents", post(create))
            .route("/documents/{id}", put(replace).delete(remove))
            .with_state(self.clone())
    }

    /// Contents by link.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let inner = self.0.lock().unwrap();
        let text = |document: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&document["metadata"]["url"]),
                text(&document["content"]),
            )
        };
        assert_eq!(
            inner
                .documents
                .values()
                .map(text)
                .collect::<BTreeMap<_, _>>()
                .len(),
            inner.documents.len(),
            "no post has two documents"
        );
        inner.documents.values().map(text).collect()
    }

    pub fn fail(&self, times: u32) {
        self.0.lock().unwrap().failures = times;
    }

    /// Whether anything failed since it was told to fail without end.
    fn was_asked(&self) -> bool {
        self.0.lock().unwrap().failures < u32::MAX
    }

    fn answer(&self, headers: &HeaderMap, id: Option<String>, document: Value) -> Response {
        let mut inner = self.0.lock().unwrap();
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        if let Some(answer) = inner.answers.get(&key) {
            return (StatusCode::ACCEPTED, answer.to_string()).into_response();
        }
        if inner.failures > 0 {
            inner.failures -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        inner.made += 1;
        let id = id.unwrap_or_else(|| format!("00000000-0000-7000-8000-{:012}", inner.made));
        let answer = json!({"id": id, "version": 1, "status": "queued"});
        inner.documents.insert(id, document);
        inner.answers.insert(key, answer.clone());
        (StatusCode::ACCEPTED, answer.to_string()).into_response()
    }
}

async fn create(State(shelf): State<Shelf>, headers: HeaderMap, body: String) -> Response {
    shelf.answer(&headers, None, serde_json::from_str(&body).unwrap())
}

async fn replace(
    State(shelf): State<Shelf>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !shelf.0.lock().unwrap().documents.contains_key(&id) {
        return StatusCode::NOT_FOUND.into_response();
    }
    shelf.answer(&headers, Some(id), serde_json::from_str(&body).unwrap())
}

async fn remove(State(shelf): State<Shelf>, Path(id): Path<String>) -> StatusCode {
    match shelf.0.lock().unwrap().documents.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

/// Posts by number.
type Posts = BTreeMap<i32, Post>;

fn posts(scene: &Scene) -> Posts {
    let truth = scene.simulator.truth(DUROV).unwrap();
    truth
        .posts
        .into_iter()
        .map(|post| (post.id, post))
        .collect()
}

/// What documents are to say of `durov`'s newest posts, albums and threads whole, as far as the service
/// has seen them: the pages of these posts, and `seen` before.
fn expected(scene: &Scene, newest: usize, seen: &Posts) -> BTreeMap<String, String> {
    let now = posts(scene);
    let pages = newest.div_ceil(100).saturating_mul(100);
    let mut seen = seen.clone();
    seen.extend(now.clone().into_iter().rev().take(pages));
    // The smallest number of all that a post is tied to, from tie to tie until nothing changes.
    let mut first: BTreeMap<i32, i32> = seen.keys().map(|id| (*id, *id)).collect();
    loop {
        let before = first.clone();
        let mut albums: BTreeMap<i64, i32> = BTreeMap::new();
        for post in seen.values() {
            let own = first[&post.id];
            let parent = post.reply_to.and_then(|id| first.get(&id).copied());
            let album = post.grouped_id.and_then(|id| albums.get(&id).copied());
            let least = [Some(own), parent, album]
                .into_iter()
                .flatten()
                .min()
                .unwrap();
            for (id, tied) in [(Some(post.id), Some(own)), (post.reply_to, parent)] {
                if let (Some(id), Some(_)) = (id, tied) {
                    first.insert(id, least);
                }
            }
            if let Some(id) = post.grouped_id {
                albums.insert(id, least);
            }
        }
        if first == before {
            break;
        }
    }
    let wanted: BTreeSet<i32> = now.keys().rev().take(newest).map(|id| first[id]).collect();
    let mut texts: BTreeMap<i32, (i32, Vec<String>)> = BTreeMap::new();
    for post in now.values() {
        let Some(unit) = first.get(&post.id).filter(|unit| wanted.contains(*unit)) else {
            continue;
        };
        let (_, parts) = texts.entry(*unit).or_insert((post.id, Vec::new()));
        if !post.text.trim().is_empty() {
            parts.push(post.text.trim().to_owned());
        }
    }
    texts
        .into_values()
        .filter(|(_, parts)| !parts.is_empty())
        .map(|(id, parts)| (format!("https://t.me/durov/{id}"), parts.join("\n\n")))
        .collect()
}

async fn shelved(shelf: &Shelf, wanted: impl Fn() -> BTreeMap<String, String>, why: &str) {
    let wanted = wanted();
    for _ in 0..1_500 {
        if shelf.texts() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shelf.texts(), wanted, "{why}");
}

#[tokio::test]
async fn parsed_posts_become_documents_once_with_a_link_to_each() {
    let shelf = Shelf::default();
    let scene = Scene::with(world(), |_| {}, Some(shelf.router())).await;
    shelf.fail(7);
    let seen = posts(&scene).into_iter().rev().take(200).collect();
    scene.parsed("durov", 120).await;
    shelved(&shelf, || expected(&scene, 120, &seen), "parsed").await;
    scene.parsed("durov", 120).await;
    scene.simulator.edit(DUROV, 460, "edited");
    let gone = scene.simulator.delete(DUROV, &[454, 455, 456, 457]);
    let left = 120 - gone.len();
    scene.parsed("durov", u32::try_from(left).unwrap()).await;
    shelved(&shelf, || expected(&scene, left, &seen), "parsed again").await;
}

/// The service, which follows the channel and tells the shelf of it.
async fn following(shelf: &Shelf) -> Scene {
    let scene = Scene::with(world(), |_| {}, Some(shelf.router())).await;
    scene.join("durov").await;
    scene
        .client
        .post(&format!("/channels/{DUROV}/sync"), &json!({}))
        .await;
    scene
}

#[tokio::test]
async fn what_happens_to_posts_happens_to_documents() {
    let shelf = Shelf::default();
    let scene = following(&shelf).await;
    shelved(
        &shelf,
        || expected(&scene, usize::MAX, &Posts::new()),
        "history",
    )
    .await;

    let id = scene
        .simulator
        .post(DUROV, PostRequest::text("the ferry leaves at nine"))
        .unwrap();
    let album = |text: &str| PostRequest {
        grouped_id: Some(77),
        ..PostRequest::text(text)
    };
    let first = scene.simulator.post(DUROV, album("")).unwrap();
    scene
        .simulator
        .post(DUROV, album("seen from the bridge"))
        .unwrap();
    shelved(
        &shelf,
        || expected(&scene, usize::MAX, &Posts::new()),
        "posted",
    )
    .await;
    shelf.fail(2);
    scene.simulator.edit(DUROV, id, "the ferry leaves at ten");
    scene.simulator.edit(DUROV, first, "two pictures");
    shelved(
        &shelf,
        || expected(&scene, usize::MAX, &Posts::new()),
        "edited",
    )
    .await;
    scene.simulator.delete(DUROV, &[id]);
    shelved(
        &shelf,
        || expected(&scene, usize::MAX, &Posts::new()),
        "deleted",
    )
    .await;
    let texts = shelf.texts();
    assert!(
        !texts.values().any(|text| text.contains("the ferry leaves")),
        "nothing stale"
    );
}

#[tokio::test]
async fn a_post_and_its_answers_become_one_document() {
    let shelf = Shelf::default();
    let scene = following(&shelf).await;
    let answer = |text: &str, to: i32| PostRequest {
        reply_to: Some(to),
        ..PostRequest::text(text)
    };
    let simulator = &scene.simulator;
    let first = simulator.post(DUROV, PostRequest::text("the bridge is shut"));
    let first = first.unwrap();
    let second = simulator
        .post(DUROV, answer("until Friday", first))
        .unwrap();
    let third = simulator.post(DUROV, answer("until Monday, they say", second));
    let third = third.unwrap();
    let seen = posts(&scene);
    let all = |why| shelved(&shelf, || expected(&scene, usize::MAX, &seen), why);
    all("posted").await;
    let link = |id: i32| format!("https://t.me/durov/{id}");
    let whole = "the bridge is shut\n\nuntil Friday\n\nuntil Monday, they say";
    assert_eq!(shelf.texts()[&link(first)], whole);
    assert!(!shelf.texts().contains_key(&link(third)));
    simulator.edit(DUROV, second, "until Saturday");
    all("edited").await;
    simulator.delete(DUROV, &[first, second]);
    all("deleted").await;
    assert_eq!(shelf.texts()[&link(third)], "until Monday, they say");
    simulator.delete(DUROV, &[third]);
    all("all gone").await;
}

#[tokio::test]
async fn what_a_process_took_to_its_end_with_it_becomes_documents_after_the_next_start() {
    let shelf = Shelf::default();
    let scene = Scene::with(world(), |_| {}, Some(shelf.router())).await;
    // Nothing gets through, so that events wait in the process.
    shelf.fail(u32::MAX);
    scene.join("durov").await;
    scene
        .client
        .post(&format!("/channels/{DUROV}/sync"), &json!({}))
        .await;
    let outbox = scene.store().await.outbox();
    let mut backlog = u64::MAX;
    for _ in 0..3_000 {
        let path = format!("/channels/{DUROV}/completeness");
        let report: Value = scene.client.get(&path).await.json();
        backlog = outbox.backlog().await.unwrap();
        if report["data"]["complete"] == true && backlog == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(backlog, 0, "the bus took everything");
    assert!(shelf.texts().is_empty());
    let scene = Box::pin(scene.restart()).await;
    shelf.fail(0);
    let all = || expected(&scene, usize::MAX, &Posts::new());
    shelved(&shelf, all, "started again").await;
}

#[tokio::test]
async fn parsed_posts_that_a_process_took_to_its_end_become_documents_after_the_next_start() {
    let shelf = Shelf::default();
    let scene = Scene::with(world(), |_| {}, Some(shelf.router())).await;
    shelf.fail(u32::MAX);
    let seen = posts(&scene).into_iter().rev().take(200).collect();
    scene.parsed("durov", 120).await;
    let outbox = scene.store().await.outbox();
    for _ in 0..3_000 {
        // All of it was told in one transaction.
        if shelf.was_asked() && outbox.backlog().await.unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(shelf.was_asked() && shelf.texts().is_empty());
    let scene = Box::pin(scene.restart()).await;
    shelf.fail(0);
    shelved(&shelf, || expected(&scene, 120, &seen), "started again").await;
}
