use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use touchstone_api::document::AcceptedDocument;
use touchstone_document::store::sqlite::SqliteStore;
use touchstone_testing::{Answer, TestClient};
use touchstone_types::{DocumentId, DocumentStatus, Role};

use crate::store;
use crate::support::{Service, World, eventually, sentences};

async fn with_key(client: &TestClient, key: &str, body: &Value) -> Answer {
    let request = Request::post("/documents")
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    client.send(request).await
}

/// Disposition, media type, content.
type Part<'a> = (&'a str, &'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, kind, content) in parts {
        body.extend_from_slice(b"--x\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(disposition.as_bytes());
        if !kind.is_empty() {
            body.extend_from_slice(format!("\r\nContent-Type: {kind}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--x--\r\n");
    body
}

async fn send_form(client: &TestClient, parts: &[Part<'_>]) -> Answer {
    client
        .raw(
            Method::POST,
            "/documents",
            "multipart/form-data; boundary=x",
            form(parts),
        )
        .await
}

async fn nothing_was_kept(service: &Service) {
    let list: Value = service.client.get("/documents").await.json();
    assert_eq!(list["items"], json!([]));
    let health: Value = service.client.get("/health").await.json();
    assert_eq!(health["details"]["queue_depth"], 0);
}

#[tokio::test]
async fn bad_json_uploads_are_refused_and_leave_nothing_behind() {
    let mut world = World::new();
    world.config.limits.document = bytesize::ByteSize::kib(4);
    let service = world.start().await;
    let many: Value = (0..33)
        .map(|n| (n.to_string(), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let cases = [
        (
            json!({ "filename": "a.txt", "content": "" }),
            "422 document.empty",
        ),
        (
            json!({ "filename": "a.txt", "content": " \n " }),
            "422 document.empty",
        ),
        (
            json!({ "filename": "a.txt", "content": "a\0b" }),
            "422 document.nul_byte",
        ),
        (
            json!({ "filename": "", "content": "x" }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a\nb", "content": "x" }),
            "422 request.invalid",
        ),
        (json!({ "filename": "a.txt" }), "422 request.invalid"),
        (
            json!({ "filename": "a.txt", "content": 7 }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.txt", "content": "x", "tenant_id": "t" }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.txt", "content": "x", "language": "english" }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.txt", "content": "x", "mime": "text" }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.txt", "content": "x", "metadata": many }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.txt", "content": "x", "metadata": { "k": 1 } }),
            "422 request.invalid",
        ),
        (
            json!({ "filename": "a.exe", "content": "x" }),
            "415 document.unsupported_format",
        ),
        (
            json!({ "filename": "a.json", "content": "{" }),
            "422 document.malformed",
        ),
        (
            json!({ "filename": "a.json", "content": "[".repeat(3000) }),
            "422 document.too_deep",
        ),
        (
            json!({ "filename": "a.txt", "content": "x".repeat(5000) }),
            "413 document.too_large",
        ),
        (json!([]), "422 request.invalid"),
    ];
    for (body, expected) in cases {
        let answer = service.client.post("/documents", &body).await;
        assert_eq!(answer.problem(), expected, "{body}: {}", answer.text());
    }
    nothing_was_kept(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_uploads_are_refused_and_leave_nothing_behind() {
    let mut world = World::new();
    world.config.limits.document = bytesize::ByteSize::kib(4);
    let service = world.start().await;
    let raw = async |kind: &str, body: Vec<u8>| {
        service
            .client
            .raw(Method::POST, "/documents", kind, body)
            .await
            .problem()
    };
    assert_eq!(
        raw("application/json", b"{".to_vec()).await,
        "400 request.malformed"
    );
    assert_eq!(
        raw("application/json", Vec::new()).await,
        "400 request.malformed"
    );
    let broken = b"{\"filename\":\"a\",\"content\":\"\xff\"}".to_vec();
    assert_eq!(
        raw("application/json", broken).await,
        "400 request.malformed"
    );
    let deep = "[".repeat(100_000).into_bytes();
    assert!(
        ["400 request.malformed", "422 request.invalid"]
            .contains(&&*raw("application/json", deep).await)
    );
    assert_eq!(
        raw("text/plain", b"x".to_vec()).await,
        "415 request.unsupported_media_type"
    );
    assert_eq!(
        raw("application/json", vec![b' '; 2 << 20]).await,
        "413 request.too_large"
    );
    for key in ["", "a b", "ключ", &"k".repeat(256)] {
        let body = json!({ "filename": "a.txt", "content": "x" });
        assert_eq!(
            with_key(&service.client, key, &body).await.problem(),
            "422 request.invalid"
        );
    }
    nothing_was_kept(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn bad_forms_are_refused_and_leave_nothing_behind() {
    let mut world = World::new();
    world.config.limits.document = bytesize::ByteSize::kib(4);
    let service = world.start().await;
    let file = "name=\"file\"; filename=\"a.txt\"";
    let large = vec![b'x'; 5000];
    let cases: [(&[Part<'_>], &str); 10] = [
        (&[], "422 request.invalid"),
        (&[("name=\"note\"", "", b"x")], "422 request.invalid"),
        (
            &[(file, "", b"one"), (file, "", b"two")],
            "422 request.invalid",
        ),
        (&[("name=\"file\"", "", b"x")], "422 request.invalid"),
        (
            &[(file, "", b"x"), ("name=\"metadata\"", "", b"[]")],
            "422 request.invalid",
        ),
        (
            &[(file, "", b"x"), ("name=\"language\"", "", b"\xff")],
            "422 request.invalid",
        ),
        (&[(file, "", b"\xd0\xd0 text")], "422 document.invalid_utf8"),
        (
            &[(file, "", b"\x7fELF\x02\x01\x01\0\0\0")],
            "415 document.binary_content",
        ),
        (&[(file, "", b"")], "422 document.empty"),
        (&[(file, "", &large)], "413 document.too_large"),
    ];
    for (parts, expected) in cases {
        let problem = send_form(&service.client, parts).await;
        let class = problem.problem();
        // The detector may name the kind of binary more closely.
        if expected.starts_with("415") {
            assert!(class.starts_with("415 document."), "{class}");
        } else {
            assert_eq!(class, expected, "{}", problem.text());
        }
    }
    let raw = async |kind: &str, body: Vec<u8>| {
        service
            .client
            .raw(Method::POST, "/documents", kind, body)
            .await
            .problem()
    };
    let cut = form(&[(file, "", b"text")]);
    let cut = cut[..cut.len() - 9].to_vec();
    assert_eq!(
        raw("multipart/form-data; boundary=x", cut).await,
        "400 request.malformed"
    );
    assert_eq!(
        raw("multipart/form-data", form(&[])).await,
        "400 request.malformed"
    );
    nothing_was_kept(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_form_is_taken_with_all_its_fields_and_downloads_safely() {
    let world = World::new();
    let service = world.start().await;
    let answer = send_form(
        &service.client,
        &[
            ("name=\"metadata\"", "", br#"{"author":"A"}"#),
            ("name=\"language\"", "", b"RU"),
            (
                "name=\"file\"; filename=\"../../etc/note \\\"x\\\".md\"",
                "text/markdown",
                "# Заголовок\n\nТекст.".as_bytes(),
            ),
        ],
    )
    .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let id = answer.json::<AcceptedDocument>().id;
    let document = service.wait_for(id, DocumentStatus::Indexed).await;
    assert_eq!(
        (document.language.as_str(), document.title.as_str()),
        ("ru", "Заголовок")
    );
    assert_eq!(
        (document.mime.as_str(), &document.metadata["author"]),
        ("text/markdown", &"A".to_owned())
    );
    let original = service
        .client
        .get(&format!("/documents/{id}/content?original=true"))
        .await;
    assert_eq!(original.text(), "# Заголовок\n\nТекст.");
    assert_eq!(original.headers["x-content-type-options"], "nosniff");
    let disposition = original.headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"note"),
        "{disposition}"
    );
    assert!(!disposition.contains("etc"), "{disposition}");
    let text = service
        .client
        .get(&format!("/documents/{id}/content"))
        .await;
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    service.stop().await;
}

#[tokio::test]
async fn wrong_ids_other_tenants_and_strangers_get_nothing() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("a.txt", "Text of ours.").await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    let stranger = world.client(&service, &world.identity.caller());
    let anonymous = TestClient::anonymous(service.router.clone());
    let forged = TestClient::new(service.router.clone(), "eyJhbGciOiJub25lIn0.e30.");
    let routes = [
        (Method::GET, ""),
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::GET, "/content"),
        (Method::GET, "/content?original=true"),
        (Method::GET, "/chunks"),
        (Method::GET, "/timeline"),
        (Method::POST, "/retry"),
        (Method::POST, "/cancel"),
    ];
    let body = json!({ "filename": "a.txt", "content": "x" });
    for (method, tail) in routes {
        let path = format!("/documents/{id}{tail}");
        let answer = stranger.json(method.clone(), &path, &body).await;
        assert_eq!(answer.problem(), "404 document.unknown", "{method} {path}");
        for client in [&anonymous, &forged] {
            let answer = client.json(method.clone(), &path, &body).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
        for wrong in ["x", "0", "%00", "..%2f..%2fetc"] {
            let path = format!("/documents/{wrong}{tail}");
            let answer = service.client.json(method.clone(), &path, &body).await;
            assert_eq!(
                answer.problem(),
                "404 request.unknown_id",
                "{method} {path}"
            );
        }
    }
    let replay = stranger
        .post(&format!("/dead-letters/{id}/replay"), &())
        .await;
    assert_eq!(replay.problem(), "404 document.unknown");
    let spans = json!({ "spans": [{ "document_id": id, "version": 1, "start": 0, "end": 4 }] });
    let passages: Value = stranger.post("/documents/passages", &spans).await.json();
    assert_eq!(passages["passages"], json!([null]));
    let list: Value = stranger.get("/documents").await.json();
    assert_eq!(list["items"], json!([]));
    let member = world.identity.caller_of(world.caller.tenant, Role::Member);
    let member = world.client(&service, &member);
    assert_eq!(
        member
            .post("/documents/reindex", &json!({}))
            .await
            .problem(),
        "403 auth.forbidden"
    );
    assert_eq!(service.get(id).await.status, DocumentStatus::Indexed);
    service.stop().await;
}

#[tokio::test]
async fn lists_page_and_refuse_bad_queries() {
    let world = World::new();
    let service = world.start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(service.upload(&format!("{n}.txt"), "Some text.").await);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Value = service
            .client
            .get(&format!("/documents?limit=2{cursor}"))
            .await
            .json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().parse::<DocumentId>().unwrap());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids);
    for (query, expected) in [
        ("limit=0", "422 request.invalid"),
        ("limit=201", "422 request.invalid"),
        ("limit=x", "422 request.invalid"),
        ("cursor=abc", "422 request.invalid_cursor"),
        ("cursor=", "422 request.invalid_cursor"),
        ("status=done", "422 request.invalid"),
        ("created_after=yesterday", "422 request.invalid"),
        ("tenant_id=x", "422 request.invalid"),
    ] {
        let answer = service.client.get(&format!("/documents?{query}")).await;
        assert_eq!(answer.problem(), expected, "{query}");
    }
    let id = ids[0];
    service.wait_for(id, DocumentStatus::Indexed).await;
    for query in ["cursor=abc", "cursor=c0000000900000000"] {
        let answer = service
            .client
            .get(&format!("/documents/{id}/chunks?{query}"))
            .await;
        assert_eq!(answer.problem(), "422 request.invalid_cursor", "{query}");
    }
    let none: Value = service.client.get("/documents?source=demo").await.json();
    assert_eq!(none["items"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn passages_are_exact_and_bounded() {
    let world = World::new();
    let service = world.start().await;
    let text = "Первое предложение. Second one here. Third one there.";
    let id = service.upload("a.txt", text).await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    let start = text.find("Second").unwrap();
    let span = |start: usize, end: usize| json!({ "document_id": id, "version": 1, "start": start, "end": end });
    let ask = async |body: Value| service.client.post("/documents/passages", &body).await;
    let answer: Value =
        ask(json!({ "spans": [span(start, start + 6), span(1, 3), span(5, 9999), span(9, 2)] }))
            .await
            .json();
    assert_eq!(answer["passages"][0]["text"], "Second");
    // Inside a character, outside the text, backwards.
    assert_eq!(
        answer["passages"].as_array().unwrap()[1..],
        [Value::Null, Value::Null, Value::Null]
    );
    let grown: Value = ask(json!({ "spans": [span(start, start + 6)], "grow_to": 60 }))
        .await
        .json();
    let passage = &grown["passages"][0];
    let (from, to) = (
        passage["start"].as_u64().unwrap() as usize,
        passage["end"].as_u64().unwrap() as usize,
    );
    assert_eq!(passage["text"], text[from..to]);
    assert!(to - from <= 60 && to - from > 6);
    assert_eq!(
        ask(json!({ "spans": [] })).await.problem(),
        "422 request.invalid"
    );
    let many: Vec<_> = (0..101).map(|_| span(0, 1)).collect();
    assert_eq!(
        ask(json!({ "spans": many })).await.problem(),
        "422 request.invalid"
    );
    assert_eq!(
        ask(json!({ "spans": [span(0, 1)], "grow_to": 20001 }))
            .await
            .problem(),
        "422 request.invalid"
    );
    service.stop().await;
}

#[tokio::test]
async fn one_key_makes_one_document_however_many_ask_at_once() {
    let world = World::new();
    let service = world.start().await;
    let body = json!({ "filename": "a.txt", "content": sentences("one", 10) });
    let client = Arc::new(service.client.clone());
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, body) = (client.clone(), body.clone());
        posts.spawn(async move { with_key(&client, "key-1", &body).await });
    }
    let answers = posts.join_all().await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == StatusCode::ACCEPTED)
    );
    let ids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json::<AcceptedDocument>().id)
        .collect();
    assert_eq!(ids.len(), 1);
    let list: Value = service.client.get("/documents").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let other = json!({ "filename": "a.txt", "content": "Something else." });
    let answer = with_key(&client, "key-1", &other).await;
    assert_eq!(answer.problem(), "422 document.idempotency_mismatch");
    // Another tenant's keys are its own.
    let stranger = world.client(&service, &world.identity.caller());
    assert_eq!(
        with_key(&stranger, "key-1", &other).await.status,
        StatusCode::ACCEPTED
    );
    service.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_507_and_what_is_there_can_be_read() {
    let mut world = World::new();
    world.config.ingest.workers = 1;
    let service = world.start().await;
    let id = service.upload("a.txt", "Some text.").await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    service.queue_is_empty().await;
    service.stop().await;

    let store = SqliteStore::open(&world.uri()).await.unwrap();
    store::allow_pages(&store, 20).await;
    let service = world.start_on(store).await;
    let body = json!({ "filename": "b.txt", "content": sentences("large", 20_000) });
    let answer = service.client.post("/documents", &body).await;
    assert_eq!(answer.problem(), "507 document.storage_full");
    assert_eq!(service.get(id).await.status, DocumentStatus::Indexed);
    let list: Value = service.client.get("/documents").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn health_tells_the_queue_and_metrics_count() {
    let world = World::new();
    let service = world.start().await;
    world.neighbours.hold();
    service.upload("a.txt", "Some text.").await;
    let health: Value = service.client.get("/health").await.json();
    assert_eq!(health["service_name"], "document-service");
    assert_eq!(health["details"]["queue_depth"], 1);
    world.neighbours.release();
    service.queue_is_empty().await;
    eventually("metrics", async || {
        let text = service.client.get("/metrics").await.text();
        text.contains("touchstone_document_chunks_total 1")
            .then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_file_of_which_a_bit_turned_over_is_not_served() {
    let world = World::new();
    let service = world.start().await;
    let id = service.upload("a.txt", "Some text.").await;
    service.wait_for(id, DocumentStatus::Indexed).await;
    let path = format!("/documents/{id}/content?original=true");
    assert_eq!(service.client.get(&path).await.text(), "Some text.");
    store::flip_a_bit(&world.uri()).await;
    let answer = service.client.get(&path).await;
    assert_eq!(answer.problem(), "500 document.damaged");
    service.stop().await;
}
