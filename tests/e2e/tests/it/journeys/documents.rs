use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, files};

/// Ids of the documents that a search finds.
fn found(response: &Value) -> BTreeSet<String> {
    let hits = response["hits"].as_array().unwrap().iter();
    hits.map(|hit| hit["document_id"].as_str().unwrap().to_owned())
        .collect()
}

pub async fn every_format_gets_indexed_and_found(gateway: &str) {
    let user = Client::register(gateway, "formats").await;
    let files: [(&str, Vec<u8>, &str); 8] = [
        (
            "plain.txt",
            "The quartz clock in the town hall loses two seconds a year.".into(),
            "quartz clock",
        ),
        (
            "notes.md",
            "# Насос\n\nНасос «Ручей» качает 40 литров в минуту.".into(),
            "насос ручей",
        ),
        (
            "page.html",
            "<html><head><title>Ferry</title><script>evil()</script></head><body><h1>Ferry</h1>\
             <p>The ferry to Hven leaves at noon.</p></body></html>"
                .into(),
            "ferry hven noon",
        ),
        (
            "table.csv",
            "city,altitude\nLeadville,3094\nPotosi,4090\n".into(),
            "Leadville altitude",
        ),
        (
            "data.json",
            "{\"engine\":{\"fuel\":\"kerosene\",\"thrust_kn\":845}}".into(),
            "engine fuel kerosene",
        ),
        (
            "memo.docx",
            files::docx(&["Memo", "Премия выдаётся в декабре."]),
            "премия в декабре",
        ),
        (
            "report.pdf",
            files::pdf("The turbine was replaced in March."),
            "turbine replaced",
        ),
        (
            "bom.txt",
            "\u{feff}Byte order marks are stripped silently.".into(),
            "byte order marks",
        ),
    ];
    for (name, content, query) in files {
        let accepted = user.upload_bytes(name, content).await;
        assert_eq!(accepted.status.as_u16(), 202, "{name}: {}", accepted.body);
        let id = accepted.body["id"].as_str().unwrap();
        let document = user.indexed(id).await;
        assert!(document["chunk_count"].as_u64().unwrap() >= 1, "{document}");
        let response = user.search(query).await;
        assert!(found(&response).contains(id), "{name}: {response}");
        let text = user.content(id).await;
        assert!(!text.contains("evil()"), "{text}");
        for hit in response["hits"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|hit| hit["document_id"] == id)
        {
            let (start, end) = (hit["start"].as_u64().unwrap(), hit["end"].as_u64().unwrap());
            assert_eq!(
                &text[start as usize..end as usize],
                hit["text"].as_str().unwrap()
            );
        }
        let timeline = user.get(&format!("/documents/{id}/timeline")).await.ok();
        let states: Vec<_> = timeline["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["status"].as_str().unwrap())
            .collect();
        assert_eq!(
            states,
            ["queued", "parsed", "chunked", "embedded", "indexed"],
            "{name}"
        );
    }
}

pub async fn a_new_version_replaces_the_old_text(gateway: &str) {
    let user = Client::register(gateway, "versions").await;
    let id = user
        .upload("plan.txt", "The harvest festival is on 3 September.")
        .await;
    user.indexed(&id).await;
    let body = json!({"filename": "plan.txt", "content": "The harvest festival is on 9 October."});
    let accepted = user.put(&format!("/documents/{id}"), &body).await.ok();
    assert_eq!(accepted["version"], 2);
    user.indexed(&id).await;
    let response = user.search("When is the harvest festival?").await;
    let texts: Vec<_> = response["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        ["The harvest festival is on 9 October."],
        "{response}"
    );
    let answer = user.ask("When is the harvest festival?").await;
    assert!(
        answer["answer"].as_str().unwrap().contains("9 October"),
        "{answer}"
    );
}

pub async fn a_deleted_document_is_gone_everywhere(gateway: &str) {
    let user = Client::register(gateway, "deletion").await;
    let id = user
        .upload("secret.txt", "The vault combination is kept by Wilhelmina.")
        .await;
    let kept = user
        .upload("kept.txt", "The garden gate is painted green every spring.")
        .await;
    user.indexed(&id).await;
    user.indexed(&kept).await;
    user.delete(&format!("/documents/{id}")).await.ok();
    for path in ["", "/content", "/chunks", "/timeline"] {
        let answer = user.get(&format!("/documents/{id}{path}")).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}");
    }
    for _ in 0..600 {
        let response = user.search("Who keeps the vault combination?").await;
        let answer = user.ask("Who keeps the vault combination?").await;
        if !found(&response).contains(&id) && !answer.to_string().contains("Wilhelmina") {
            let listed = user.get("/documents").await.ok();
            assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("a deleted document is still found");
}

pub async fn a_repeated_upload_makes_one_document(gateway: &str) {
    let user = Client::register(gateway, "repeat").await;
    let body = json!({"filename": "once.txt", "content": "Only once."});
    let send = |body: Value| {
        let request = user
            .request(Method::POST, "/documents")
            .header("Idempotency-Key", "k-1");
        let user = user.clone();
        async move { user.send(request.json(&body)).await }
    };
    let (one, other) = tokio::join!(send(body.clone()), send(body.clone()));
    let (one, other) = (one.ok(), other.ok());
    assert_eq!(one["id"], other["id"]);
    let changed = send(json!({"filename": "once.txt", "content": "Twice."})).await;
    assert_eq!(changed.status.as_u16(), 422, "{}", changed.body);
    assert_eq!(
        user.get("/documents").await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

pub async fn other_tenants_see_nothing(gateway: &str) {
    let owner = Client::register(gateway, "owner").await;
    let other = Client::register(gateway, "other").await;
    let id = owner
        .upload("canary.txt", "The canary phrase is zephyr-quokka-7731.")
        .await;
    owner.indexed(&id).await;
    let path = format!("/documents/{id}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::GET, format!("{path}/content")),
        (Method::GET, format!("{path}/chunks")),
        (Method::GET, format!("{path}/timeline")),
        (Method::POST, format!("{path}/retry")),
        (Method::POST, format!("{path}/cancel")),
    ] {
        let answer = other.send(other.request(method.clone(), &path)).await;
        assert_eq!(
            answer.status.as_u16(),
            404,
            "{method} {path}: {}",
            answer.body
        );
    }
    let changed = json!({"filename": "canary.txt", "content": "Mine."});
    assert_eq!(other.put(&path, &changed).await.status.as_u16(), 404);
    let filter = json!({"query": "zephyr-quokka-7731", "filter": {"document_ids": [id]}});
    for response in [
        other.search("zephyr-quokka-7731").await,
        other.post("/search", &filter).await.ok(),
        other.ask("What is the canary phrase?").await,
        other.get("/documents").await.ok(),
    ] {
        assert!(
            !response.to_string().contains("zephyr-quokka"),
            "{response}"
        );
    }
    assert!(
        owner
            .search("zephyr-quokka-7731")
            .await
            .to_string()
            .contains(&id)
    );
}

pub async fn damaged_files_fail_and_the_service_lives(gateway: &str) {
    let user = Client::register(gateway, "damaged").await;
    let mut damaged = files::pdf("never read");
    let keep = damaged.len() / 3;
    damaged.truncate(keep);
    let accepted = user.upload_bytes("damaged.pdf", damaged).await.ok();
    let document = user.settled(accepted["id"].as_str().unwrap()).await;
    assert_eq!(document["status"], "failed", "{document}");
    assert!(
        document["failure"]["code"]
            .as_str()
            .unwrap()
            .starts_with("document."),
        "{document}"
    );
    let nested = format!(
        "%PDF-1.4\n1 0 obj\n{}{}\nendobj\n",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let accepted = user
        .upload_bytes("nested.pdf", nested.into_bytes())
        .await
        .ok();
    let document = user.settled(accepted["id"].as_str().unwrap()).await;
    assert_eq!(document["status"], "failed", "{document}");
    let id = user.upload("fine.txt", "The service lives on.").await;
    user.indexed(&id).await;
}
