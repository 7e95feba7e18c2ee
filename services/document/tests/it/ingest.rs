use http::StatusCode;
use serde_json::{Value, json};
use touchstone_api::Page;
use touchstone_api::document::{AcceptedDocument, Chunk, PassagesResponse};
use touchstone_document::domain::point::chunk_id;
use touchstone_types::{DocumentId, DocumentStatus};

use crate::support::{Service, World, eventually, sentences};

async fn chunks(service: &Service, id: DocumentId) -> Vec<Chunk> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<Chunk> = service
            .client
            .get(&format!("/documents/{id}/chunks?limit=3{cursor}"))
            .await
            .json();
        all.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Document, chunks, text and points tell the same story.
async fn assert_whole(world: &World, service: &Service, id: DocumentId, model: Option<&str>) {
    let document = service.get(id).await;
    assert_eq!(document.status, DocumentStatus::Indexed);
    let text = service
        .client
        .get(&format!("/documents/{id}/content"))
        .await
        .text();
    let (chunks, points) = (chunks(service, id).await, world.neighbours.points_of(id));
    assert_eq!(chunks.len(), document.chunk_count as usize);
    assert_eq!(points.len(), chunks.len());
    for (at, (chunk, point)) in chunks.iter().zip(&points).enumerate() {
        assert_eq!(chunk.ordinal as usize, at);
        assert_eq!(&text[chunk.start..chunk.end], chunk.text);
        assert_eq!(
            point.id,
            chunk_id(id, document.version, chunk.ordinal, model)
        );
        assert_eq!(point.id, chunk.id);
        assert_eq!(
            (point.payload.start, point.payload.end),
            (chunk.start, chunk.end)
        );
        assert_eq!(
            (&point.payload.text, point.payload.version),
            (&chunk.text, document.version)
        );
        assert_eq!(point.dense.is_some(), model.is_some());
    }
}

#[tokio::test]
async fn a_document_is_indexed_and_all_places_agree() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("story.txt", &sentences("story", 100)).await;
    let document = service.wait_for(id, DocumentStatus::Indexed).await;
    assert!(document.chunk_count > 5, "{document:?}");
    assert_whole(&world, &service, id, None).await;
    let states = service.states(id).await;
    assert_eq!(
        states,
        ["queued", "parsed", "chunked", "embedded", "indexed"]
    );
    service.stop().await;
}

#[tokio::test]
async fn many_small_documents_of_two_tenants_come_through_together() {
    let world = World::new();
    let service = world.start().await;
    let stranger = world.identity.caller();
    let theirs = world.client(&service, &stranger);
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for n in 0..40 {
        ours.push(
            service
                .upload("a.txt", &sentences(&format!("a{n}"), 12))
                .await,
        );
        let body = json!({ "filename": "b.txt", "content": sentences(&format!("b{n}"), 3) });
        other.push(
            theirs
                .post("/documents", &body)
                .await
                .json::<AcceptedDocument>()
                .id,
        );
    }
    for id in ours {
        service.wait_for(id, DocumentStatus::Indexed).await;
        assert_whole(&world, &service, id, None).await;
        assert_eq!(
            theirs.get(&format!("/documents/{id}")).await.problem(),
            "404 document.unknown"
        );
    }
    for id in other {
        eventually("indexed", async || {
            let document: Value = theirs.get(&format!("/documents/{id}")).await.json();
            (document["status"] == "indexed").then_some(())
        })
        .await;
    }
    service.stop().await;
}

#[tokio::test]
async fn without_the_bus_the_table_brings_the_work() {
    let mut world = World::new();
    // Nobody ever gets an event: the group's room is used up, and nobody reads it.
    world.bus = std::sync::Arc::new(touchstone_events::MemoryBus::bounded(
        0,
        std::time::Duration::from_millis(1),
    ));
    world.config.ingest.sweep_after = std::time::Duration::from_millis(10);
    let service = world.start().await;
    let id = service.upload("a.txt", "Some text.").await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    service.stop().await;
}

#[tokio::test]
async fn a_new_version_takes_the_place_of_the_old_one() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    let span = json!({ "document_id": id, "version": 1, "start": 0, "end": 8 });
    let ask = json!({ "spans": [span] });

    world.neighbours.hold();
    assert_eq!(service.replace(id, &sentences("second", 20)).await, 2);
    eventually("embedding is asked", async || {
        (service.get(id).await.status == DocumentStatus::Chunked).then_some(())
    })
    .await;
    // Until the new version is indexed, the old one is found and can be read.
    assert!(
        world
            .neighbours
            .points_of(id)
            .iter()
            .all(|point| point.payload.version == 1)
    );
    let passages: PassagesResponse = service
        .client
        .post("/documents/passages", &ask)
        .await
        .json();
    assert_eq!(passages.passages[0].as_ref().unwrap().text, "Sentence");
    world.neighbours.release();

    let document = service.wait_for(id, DocumentStatus::Indexed).await;
    assert_eq!(
        (document.version, document.filename.as_str()),
        (2, "new.txt")
    );
    assert_whole(&world, &service, id, None).await;
    let passages: PassagesResponse = service
        .client
        .post("/documents/passages", &ask)
        .await
        .json();
    assert_eq!(passages.passages, [None]);
    service.stop().await;
}

#[tokio::test]
async fn a_new_version_overtakes_one_that_is_at_work() {
    let world = World::new();
    let service = world.start().await;
    world.neighbours.hold();
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    world
        .neighbours
        .embeds
        .subscribe()
        .wait_for(|count| *count > 0)
        .await
        .unwrap();
    service.replace(id, &sentences("second", 20)).await;
    world.neighbours.release();
    service.wait_for(id, DocumentStatus::Indexed).await;
    service.queue_is_empty().await;
    assert_whole(&world, &service, id, None).await;
    service.stop().await;
}

#[tokio::test]
async fn a_deleted_document_is_gone_at_once_and_its_points_soon() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    world.neighbours.set(|mood| mood.vector_down = true);
    let path = format!("/documents/{id}");
    assert_eq!(
        service.client.delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
    for tail in [
        "",
        "/content",
        "/content?original=true",
        "/chunks",
        "/timeline",
    ] {
        let answer = service.client.get(&format!("{path}{tail}")).await;
        assert_eq!(answer.problem(), "404 document.unknown", "{tail}");
    }
    assert_eq!(
        service.client.delete(&path).await.problem(),
        "404 document.unknown"
    );
    let list: Value = service.client.get("/documents").await.json();
    assert_eq!(list["items"], json!([]));
    assert!(!world.neighbours.points_of(id).is_empty());
    world.neighbours.set(|mood| mood.vector_down = false);
    service.queue_is_empty().await;
    assert!(world.neighbours.points_of(id).is_empty());
    service.stop().await;
}

#[tokio::test]
async fn cancel_stops_between_batches_and_leaves_nothing_in_the_index() {
    let mut world = World::new();
    world.config.ingest.embed_batch = 2;
    world.config.ingest.embed_parallel = 1;
    let service = world.start().await;
    world.neighbours.hold();
    let id = service.upload("a.txt", &sentences("first", 200)).await;
    world
        .neighbours
        .embeds
        .subscribe()
        .wait_for(|count| *count > 0)
        .await
        .unwrap();
    let answer = service
        .client
        .post(&format!("/documents/{id}/cancel"), &())
        .await;
    assert_eq!(
        answer.json::<AcceptedDocument>().status,
        DocumentStatus::Cancelled
    );
    world.neighbours.release();
    service.queue_is_empty().await;
    assert!(world.neighbours.points_of(id).is_empty());
    let asked = *world.neighbours.embeds.borrow();
    assert!(
        asked < 5,
        "embedding was asked {asked} times after the cancel"
    );
    assert_eq!(service.get(id).await.status, DocumentStatus::Cancelled);
    let again = service
        .client
        .post(&format!("/documents/{id}/cancel"), &())
        .await;
    assert_eq!(again.problem(), "409 document.wrong_state");

    let retried = service
        .client
        .post(&format!("/documents/{id}/retry"), &())
        .await;
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    service.wait_for(id, DocumentStatus::Indexed).await;
    assert_whole(&world, &service, id, None).await;
    let again = service
        .client
        .post(&format!("/documents/{id}/retry"), &())
        .await;
    assert_eq!(again.problem(), "409 document.wrong_state");
    service.stop().await;
}

#[tokio::test]
async fn a_rebuild_writes_lost_points_anew_and_follows_a_new_model() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("a.txt", &sentences("first", 60)).await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    world.neighbours.drop_collection();
    world.neighbours.set(|mood| mood.model = Some("mini"));
    let reindex = async |body: Value| {
        let answer = service.client.post("/documents/reindex", &body).await;
        assert_eq!(answer.json::<Value>(), json!({ "documents": 1 }));
        service.wait_for(id, DocumentStatus::Indexed).await;
        service.queue_is_empty().await;
    };
    reindex(json!({})).await;
    assert_whole(&world, &service, id, Some("mini")).await;

    // Another model does not fit the collection, until it is reset.
    world.neighbours.set(|mood| mood.model = Some("large"));
    let other = service.upload("b.txt", "Another text.").await;
    let failed = service
        .wait_for(other, DocumentStatus::Failed)
        .await
        .failure
        .unwrap();
    assert_eq!(failed.code, "document.model_mismatch");
    assert!(
        failed.message.contains("touchstone reindex"),
        "{}",
        failed.message
    );
    let reset = json!({ "collection_reset": true });
    let refused = service.client.post("/documents/reindex", &reset).await;
    assert_eq!(refused.problem(), "403 auth.forbidden");
    let stack = world.client(&service, &world.identity.service(world.caller.tenant));
    let answer = stack.post("/documents/reindex", &reset).await;
    assert_eq!(answer.json::<Value>(), json!({ "documents": 2 }));
    service.queue_is_empty().await;
    for id in [id, other] {
        assert_whole(&world, &service, id, Some("large")).await;
    }
    service.stop().await;
}
