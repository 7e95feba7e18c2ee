//! Credentials that must not pass, over a real connection, as they would be tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use touchstone_testing::{TOKEN_SECRET, TestClient};

use crate::support::{Mode, PATIENCE, Stack};

/// A gateway before a service that counts who reaches it.
async fn stack() -> (Stack, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let document = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::AcqRel);
        async { "reached" }
    });
    (
        Stack::start(Mode::InProcess, [("document", document)]).await,
        reached,
    )
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The claims of the stack's token.
fn claims(stack: &Stack) -> Value {
    let claims = stack.token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// HMAC-SHA256 (RFC 2104).
fn mac(secret: &[u8], text: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut key = [0; 64];
    key[..secret.len()].copy_from_slice(secret);
    let pad = |byte: u8| key.map(|own| own ^ byte);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5C))
        .chain_update(inner)
        .finalize();
    URL_SAFE_NO_PAD.encode(outer)
}

/// A token whose signature is right.
fn signed(header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    format!("{text}.{}", mac(TOKEN_SECRET, &text))
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn no_forgery_passes_and_all_are_told_the_same() {
    let (stack, reached) = stack().await;
    let good = claims(&stack);
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    // The signature of this test is right: what follows fails for its own reason.
    let control = TestClient::new(stack.router.clone(), signed(&hs256, &good));
    assert_eq!(control.get("/documents/x").await.text(), "reached");

    let mut forged = vec![
        "test-load-token-1".to_owned(),
        "test-load-token-999".to_owned(),
        "eyJ".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        "..".to_owned(),
        format!("{}.", stack.token.rsplit_once('.').unwrap().0),
        "x".repeat(9000),
        format!("{}{}", stack.token, "A".repeat(9000)),
    ];
    for alg in [
        "none", "None", "nOnE", "NONE", "HS384", "HS512", "RS256", "EdDSA", "ES256", "",
    ] {
        forged.push(format!("{}.{}.", part(&json!({ "alg": alg })), part(&good)));
        forged.push(signed(&json!({ "alg": alg }), &good));
    }
    for kid in [
        "../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "unknown",
        "service",
        &"k".repeat(6000),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        forged.push(signed(&header, &good));
    }
    for (name, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(9_999_999_999.5)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(null)),
        ("exp", json!(0)),
        ("nbf", json!(9_999_999_999_u64)),
        ("nbf", json!("0")),
        ("iss", json!("somebody")),
        ("aud", json!("touchstone-services")),
        ("aud", json!(["touchstone", "other"])),
        ("typ", json!("refresh")),
        ("typ", json!("service")),
        ("typ", json!(null)),
        ("tenant", json!("*")),
        ("role", json!("root")),
        ("sub", json!("' OR 1=1")),
    ] {
        forged.push(signed(&hs256, &with(&good, name, value)));
    }
    for name in ["exp", "nbf", "iss", "aud", "sub", "tenant", "role", "typ"] {
        forged.push(signed(&hs256, &without(&good, name)));
    }
    let before = reached.load(Ordering::Acquire);
    let mut told = None;
    for token in &forged {
        let answer = TestClient::new(stack.router.clone(), token.clone())
            .get("/documents/x")
            .await;
        let shown: String = token.chars().take(60).collect();
        assert_eq!(answer.problem(), "401 auth.invalid_credential", "{shown}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let mut body: Value = answer.json();
        body["request_id"] = Value::Null;
        assert_eq!(told.get_or_insert_with(|| body.clone()), &body, "{shown}");
    }
    assert_eq!(reached.load(Ordering::Acquire), before);
    stack.stop().await;
}

#[tokio::test]
async fn a_header_that_brings_its_own_key_is_not_believed() {
    let (stack, reached) = stack().await;
    let good = claims(&stack);
    for (name, value) in [
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/chain")),
        (
            "jwk",
            json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("mine") }),
        ),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header[name] = value;
        let text = format!("{}.{}", part(&header), part(&good));
        let token = format!("{text}.{}", mac(b"mine", &text));
        let answer = TestClient::new(stack.router.clone(), token)
            .get("/documents/x")
            .await;
        assert_eq!(answer.problem(), "401 auth.invalid_credential", "{name}");
    }
    assert_eq!(reached.load(Ordering::Acquire), 0);
    stack.stop().await;
}

#[tokio::test]
async fn a_credential_is_read_from_its_header_only_and_only_once() {
    let (stack, reached) = stack().await;
    let address = stack.listen().await;
    let token = &stack.token;
    for head in [
        format!("GET /documents/x?access_token={token} HTTP/1.1\r\nHost: x\r\n"),
        format!("GET /documents/x HTTP/1.1\r\nHost: x\r\nCookie: access_token={token}\r\n"),
        format!("GET /documents/x HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"),
        format!("GET /documents/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"),
        "GET /documents/x HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\n".to_owned(),
        // No WebSocket: the protocols are no place for a credential.
        format!(
            "GET /documents/x HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: bearer.{token}\r\n"
        ),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        let refused = answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{head}{answer}");
        assert!(!answer.contains(token.as_str()), "the token is told back");
    }
    assert_eq!(reached.load(Ordering::Acquire), 0);
    stack.stop().await;
}

#[tokio::test]
async fn what_is_for_operators_and_what_is_nowhere_is_not_shown() {
    let (stack, _) = stack().await;
    for path in [
        "/debug",
        "/admin/decisions",
        "/.env",
        "/.git/config",
        "/server-status",
    ] {
        let answer = stack.client().get(path).await;
        assert_eq!(answer.problem(), "404 request.unknown_path", "{path}");
    }
    stack.stop().await;
}
