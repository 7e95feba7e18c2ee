use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::Client;

pub async fn every_bad_request_has_its_code(gateway: &str) {
    let user = Client::register(gateway, "bad-input").await;
    bodies_that_cannot_be_read(&user).await;
    bodies_against_the_rules(&user).await;
    let nothing = user.get("/documents?limit=0").await;
    assert_eq!(nothing.status.as_u16(), 422, "{}", nothing.body);
    assert_eq!(user.get("/nowhere").await.status.as_u16(), 404);
    let listed = user.get("/documents").await.ok();
    assert_eq!(listed["items"], json!([]), "nothing half-done is left");
}

async fn bodies_that_cannot_be_read(user: &Client) {
    let deep = "[".repeat(100_000);
    let huge = "x".repeat(64 << 20);
    let unknown = "/documents/0192f0c1-2b3a-7cde-8f01-23456789abcd";
    let raw: [(Method, &str, &str, Vec<u8>, u16); 13] = [
        (
            Method::POST,
            "/search",
            "application/json",
            b"{".to_vec(),
            400,
        ),
        (
            Method::POST,
            "/search",
            "application/json",
            b"{\"query\":\"\xff\xfe\"}".to_vec(),
            400,
        ),
        (
            Method::POST,
            "/search",
            "application/json",
            deep.into_bytes(),
            422,
        ),
        (Method::POST, "/search", "application/json", Vec::new(), 400),
        (
            Method::POST,
            "/search",
            "text/plain",
            b"query".to_vec(),
            415,
        ),
        (
            Method::POST,
            "/search",
            "application/json",
            b"[]".to_vec(),
            422,
        ),
        (
            Method::POST,
            "/search",
            "application/json",
            b"{\"query\":5}".to_vec(),
            422,
        ),
        (
            Method::POST,
            "/documents",
            "application/json",
            huge.into_bytes(),
            413,
        ),
        (
            Method::POST,
            "/documents",
            "application/octet-stream",
            b"x".to_vec(),
            415,
        ),
        (
            Method::POST,
            "/documents",
            "multipart/form-data; boundary=x",
            b"--x--\r\n".to_vec(),
            422,
        ),
        (
            Method::GET,
            "/documents/not-an-id",
            "application/json",
            Vec::new(),
            404,
        ),
        (Method::GET, unknown, "application/json", Vec::new(), 404),
        (
            Method::PATCH,
            "/documents",
            "application/json",
            Vec::new(),
            405,
        ),
    ];
    for (method, path, content_type, body, status) in raw {
        let request = user
            .request(method.clone(), path)
            .header(CONTENT_TYPE, content_type);
        let head: String = String::from_utf8_lossy(&body).chars().take(30).collect();
        let answer = user.send(request.body(body)).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path} `{head}`: {}",
            answer.body
        );
        answer.problem();
    }
}

async fn bodies_against_the_rules(user: &Client) {
    let binary: String = "\u{0}\u{1}\u{2}binary".into();
    let json: [(&str, Value, u16); 12] = [
        ("/search", json!({"query": ""}), 422),
        ("/search", json!({"query": "x", "limit": 0}), 422),
        ("/search", json!({"query": "x", "limit": 101}), 422),
        ("/search", json!({"query": "x", "tenant_id": "y"}), 422),
        ("/search", json!({"query": "x".repeat(2001)}), 422),
        ("/ask", json!({"question": ""}), 422),
        ("/ask", json!({"question": "x", "provider": "nobody"}), 404),
        ("/ask", json!({"question": "x", "unknown": 1}), 422),
        (
            "/documents",
            json!({"filename": "a.txt", "content": ""}),
            422,
        ),
        (
            "/documents",
            json!({"filename": "a.txt", "content": binary}),
            422,
        ),
        (
            "/documents",
            json!({"filename": "a.exe", "content": "MZ", "mime": "application/x-msdownload"}),
            415,
        ),
        ("/documents", json!({"filename": "", "content": "x"}), 422),
    ];
    for (path, body, status) in json {
        let head: String = body.to_string().chars().take(60).collect();
        let answer = user.post(path, &body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "POST {path} {head}: {}",
            answer.body
        );
        answer.problem();
    }
}
