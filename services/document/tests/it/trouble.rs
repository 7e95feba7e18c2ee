use serde_json::Value;
use touchstone_document::domain::ingestion::Change;
use touchstone_document::store::sqlite::SqliteStore;
use touchstone_document::store::{Claim, NewChunk, Parsed, Passed, Store};
use touchstone_types::{ByteSpan, Clock, DocumentId, DocumentStatus, SystemClock};

use crate::support::{Service, World, eventually, sentences};

async fn timeline_details(service: &Service, id: DocumentId) -> Vec<String> {
    service
        .timeline(id)
        .await
        .items
        .into_iter()
        .filter_map(|it| it.detail)
        .collect()
}

async fn dead_letters(service: &Service) -> Vec<Value> {
    let list: Value = service.client.get("/dead-letters").await.json();
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn while_embedding_is_away_documents_wait_and_say_so() {
    let world = World::new();
    world.neighbours.set(|mood| mood.embedding_down = true);
    let service = world.start().await;
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    // Far more tries than attempts are allowed.
    world
        .neighbours
        .embeds
        .subscribe()
        .wait_for(|count| *count > 10)
        .await
        .unwrap();
    assert_eq!(service.get(id).await.status, DocumentStatus::Chunked);
    let waits = |details: &[String]| details.iter().filter(|it| it.starts_with("waits:")).count();
    assert_eq!(waits(&timeline_details(&service, id).await), 1);
    world.neighbours.set(|mood| mood.embedding_down = false);
    service.wait_for(id, DocumentStatus::Indexed).await;
    assert!(
        service
            .timeline(id)
            .await
            .items
            .iter()
            .all(|it| it.attempt == 1)
    );
    service.stop().await;
}

#[tokio::test]
async fn while_vector_is_away_documents_wait_as_embedded() {
    let world = World::new();
    let service = world.start().await;
    let first = service.upload("a.txt", "The collection is made.").await;
    service.wait_for(first, DocumentStatus::Indexed).await;
    world.neighbours.set(|mood| mood.vector_down = true);
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    service.wait_for(id, DocumentStatus::Embedded).await;
    world.neighbours.set(|mood| mood.vector_down = false);
    service.wait_for(id, DocumentStatus::Indexed).await;
    let points = world.neighbours.points_of(id).len();
    assert_eq!(points, service.get(id).await.chunk_count as usize);
    service.stop().await;
}

#[tokio::test]
async fn half_written_points_are_noticed_and_written_again() {
    let world = World::new();
    world.neighbours.set(|mood| mood.lose = 3);
    let service = world.start().await;
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    let points = world.neighbours.points_of(id).len();
    assert_eq!(points, service.get(id).await.chunk_count as usize);
    let details = timeline_details(&service, id).await;
    assert!(
        details.iter().any(|it| it.contains("points for")),
        "{details:?}"
    );
    service.stop().await;
}

#[tokio::test]
async fn poison_is_given_up_and_its_neighbours_are_not() {
    let world = World::new();
    world.neighbours.set(|mood| mood.poison = Some("POISON"));
    world.neighbours.hold();
    let service = world.start().await;
    let mut good = Vec::new();
    for n in 0..5 {
        good.push(
            service
                .upload("good.txt", &sentences(&format!("good{n}"), 5))
                .await,
        );
    }
    let bad = service.upload("bad.txt", "This one is POISON.").await;
    world.neighbours.release();
    let document = service.wait_for(bad, DocumentStatus::Failed).await;
    assert_eq!(document.failure.unwrap().code, "document.embedding_refused");
    for id in good {
        service.wait_for(id, DocumentStatus::Indexed).await;
    }
    let dead = dead_letters(&service).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0]["document_id"], &dead[0]["attempts"]),
        (&Value::from(bad.to_string()), &Value::from(3))
    );
    service.queue_is_empty().await;

    world.neighbours.set(|mood| mood.poison = None);
    let replay = service
        .client
        .post(&format!("/dead-letters/{bad}/replay"), &())
        .await;
    assert_eq!(replay.status, 202);
    service.wait_for(bad, DocumentStatus::Indexed).await;
    assert!(dead_letters(&service).await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_worker_counts_as_an_attempt_and_harms_nobody_else() {
    let world = World::new();
    world.neighbours.set(|mood| mood.panic = Some("BOMB"));
    world.neighbours.hold();
    let service = world.start().await;
    let good = service.upload("good.txt", &sentences("good", 5)).await;
    let bad = service.upload("bad.txt", "This one is a BOMB.").await;
    world.neighbours.release();
    let document = service.wait_for(bad, DocumentStatus::Failed).await;
    assert_eq!(document.failure.unwrap().code, "document.worker_panicked");
    service.wait_for(good, DocumentStatus::Indexed).await;
    let last = service.upload("last.txt", "Workers are alive.").await;
    service.wait_for(last, DocumentStatus::Indexed).await;
    service.stop().await;
}

#[tokio::test]
async fn a_damaged_pdf_fails_with_a_reason_and_the_service_lives() {
    let world = World::new();
    let service = world.start().await;
    let body = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n%PDF-1.7\nthis is torn\n%%EOF\r\n--x--\r\n";
    let kind = "multipart/form-data; boundary=x";
    let answer = service
        .client
        .raw(http::Method::POST, "/documents", kind, body)
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer
        .json::<touchstone_api::document::AcceptedDocument>()
        .id;
    let failure = service
        .wait_for(id, DocumentStatus::Failed)
        .await
        .failure
        .unwrap();
    assert!(failure.code.starts_with("document."), "{failure:?}");
    assert!(!failure.message.is_empty());
    let content = service
        .client
        .get(&format!("/documents/{id}/content"))
        .await;
    assert_eq!(content.problem(), "409 document.no_text_yet");
    let next = service.upload("a.txt", "It goes on.").await;
    service.wait_for(next, DocumentStatus::Indexed).await;
    service.stop().await;
}

#[tokio::test]
async fn a_crash_at_any_place_loses_doubles_and_blocks_nothing() {
    let mut world = World::new();
    world.config.ingest.embed_batch = 4;
    let mut ids = Vec::new();
    for round in 0..12 {
        let service = world.start().await;
        // The neighbours answer in a different place of the work each time.
        if round % 3 == 0 {
            world.neighbours.hold();
        }
        world
            .neighbours
            .set(|mood| mood.vector_down = round % 4 == 1);
        let before = *world.neighbours.embeds.borrow();
        for n in 0..6 {
            let text = sentences(&format!("r{round}n{n}"), 4 + 10 * n);
            ids.push(service.upload("a.txt", &text).await);
        }
        if round % 2 == 0 {
            world
                .neighbours
                .embeds
                .subscribe()
                .wait_for(|now| *now > before)
                .await
                .unwrap();
        }
        service.crash().await;
        world.neighbours.release();
    }
    world.neighbours.set(|mood| mood.vector_down = false);
    let service = world.start().await;
    let mut chunks = 0;
    for id in &ids {
        let document = service.wait_for(*id, DocumentStatus::Indexed).await;
        let points = world.neighbours.points_of(*id).len();
        assert_eq!(points, document.chunk_count as usize);
        chunks += points;
    }
    service.queue_is_empty().await;
    assert_eq!(world.neighbours.point_count(), chunks);
    service.stop().await;
}

#[tokio::test]
async fn a_soft_stop_lets_go_of_work_without_counting_it() {
    let mut world = World::new();
    world.config.ingest.embed_batch = 1;
    world.config.ingest.embed_parallel = 1;
    let service = world.start().await;
    world.neighbours.hold();
    let id = service.upload("a.txt", &sentences("first", 100)).await;
    world
        .neighbours
        .embeds
        .subscribe()
        .wait_for(|count| *count > 0)
        .await
        .unwrap();
    let stopping = service.life.soft_stop();
    let stop = tokio::join!(service.stop(), async {
        stopping.cancelled().await;
        world.neighbours.release();
    });
    assert_eq!(stop, ((), ()));
    let service = world.start().await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    assert!(
        service
            .timeline(id)
            .await
            .items
            .iter()
            .all(|it| it.attempt == 1)
    );
    service.stop().await;
}

#[tokio::test]
async fn work_goes_on_from_every_state_that_a_restart_can_find() {
    for state in ["queued", "parsed", "chunked", "embedded"] {
        let world = World::new();
        let service = world.start().await;
        let first = service.upload("a.txt", "The collection is made.").await;
        service.wait_for(first, DocumentStatus::Indexed).await;
        service.stop().await;

        // A document is accepted; then the process dies in the middle of it.
        world.neighbours.set(|mood| mood.embedding_down = true);
        let service = world.start().await;
        let id = service.upload("b.txt", &sentences(state, 30)).await;
        service.wait_for(id, DocumentStatus::Chunked).await;
        service.crash().await;
        if state != "chunked" {
            reach(&world, id, state).await;
        }

        world.neighbours.set(|mood| mood.embedding_down = false);
        let service = world.start().await;
        let document = service.wait_for(id, DocumentStatus::Indexed).await;
        service.queue_is_empty().await;
        assert_eq!(
            world.neighbours.points_of(id).len(),
            document.chunk_count as usize,
            "{state}"
        );
        service.stop().await;
    }
}

/// Puts the document into `state` by way of the store.
async fn reach(world: &World, id: DocumentId, state: &str) {
    let store = SqliteStore::open(&world.uri()).await.unwrap();
    let (tenant, now) = (world.caller.tenant, SystemClock.now());
    store.recover(now).await.unwrap();
    store.rebuild(Some(tenant), now).await.unwrap();
    let mut claims = Vec::new();
    eventually("claimed", async || {
        let claim = Claim {
            id: world.identity.ids.next(),
            now: SystemClock.now(),
            until: SystemClock.now() + std::time::Duration::from_mins(1),
            documents: 10,
            bytes: 1 << 20,
        };
        let claimed = store.claim(&claim).await.unwrap();
        let found = claimed.iter().any(|it| it.id == id);
        claims.push(claim.id);
        found.then_some(())
    })
    .await;
    let step = |change| Passed {
        change,
        at: now,
        detail: None,
    };
    let body = sentences(state, 30);
    let passed = match state {
        "queued" => Vec::new(),
        "parsed" => vec![step(Change::Parsed)],
        _ => vec![
            step(Change::Parsed),
            step(Change::Chunked),
            step(Change::Embedded),
        ],
    };
    if !passed.is_empty() {
        let parsed = Parsed {
            id,
            version: 1,
            title: "t".into(),
            language: "en".into(),
            chunks: vec![NewChunk {
                ordinal: 0,
                span: ByteSpan {
                    start: 0,
                    end: body.trim_end().len(),
                },
                heading: None,
            }],
            body,
            passed,
        };
        let last = *claims.last().unwrap();
        assert_eq!(store.put_chunks(last, &[parsed]).await.unwrap(), [id]);
    }
    let document = store.document(tenant, id).await.unwrap().unwrap();
    assert_eq!(document.status.as_str(), state);
    store.close().await;
}
