//! Tokens that must not pass: each one is answered 401 with the same code.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;
use touchstone_auth::Config;
use touchstone_types::Clock;

use crate::harness::{App, config};

const REFUSED: &str = "401 auth.invalid_credential";

/// Auth whose private key the test knows, so that every claim can be signed rightly.
struct Forge {
    app: App,
    key: Ed25519KeyPair,
    header: Value,
    claims: Value,
    _directory: tempfile::TempDir,
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl Forge {
    async fn new() -> Self {
        let (directory, key) = (
            tempfile::tempdir().unwrap(),
            Ed25519KeyPair::generate().unwrap(),
        );
        let path = directory.path().join("signing.pem");
        let body = STANDARD.encode(key.to_pkcs8v1().unwrap().as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        write_private(&path, &pem);
        let signing_key_file = path.to_str().unwrap().to_owned();
        let app = App::with(Config {
            signing_key_file,
            ..config()
        })
        .await;
        let token = app.register("ada@example.org").await.access_token;
        assert_eq!(app.me(&token).await, "200");
        let parts: Vec<_> = token.split('.').collect();
        let (header, claims) = (decode(parts[0]), decode(parts[1]));
        Self {
            app,
            key,
            header,
            claims,
            _directory: directory,
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        sign_with(&self.key, header, claims)
    }

    /// Rightly signed, with these claims changed (`null` removes one).
    fn claiming(&self, changes: &Value) -> String {
        let mut claims = self.claims.clone();
        let object = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                object.remove(name);
            } else {
                object.insert(name.clone(), value.clone());
            }
        }
        self.sign(&self.header, &claims)
    }
}

fn sign_with(key: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

#[tokio::test]
async fn a_token_that_is_signed_rightly_passes_so_that_the_others_prove_something() {
    let forge = Forge::new().await;
    assert_eq!(forge.app.me(&forge.claiming(&json!({}))).await, "200");
    assert_eq!(forge.header["alg"], "EdDSA");
    let jwks: Value = forge
        .app
        .anonymous()
        .get("/.well-known/jwks.json")
        .await
        .json();
    assert_eq!(jwks["keys"][0]["kid"], forge.header["kid"]);
    let x = URL_SAFE_NO_PAD.encode(forge.key.public_key().as_ref());
    assert_eq!(jwks["keys"][0]["x"], json!(x));
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    assert!(jwks["keys"][0].get("d").is_none());
    let names: Vec<_> = forge.claims.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "aud", "exp", "fam", "iat", "iss", "jti", "nbf", "role", "sub", "tenant", "typ",
    ];
    assert_eq!(names, expected);
    let lifetime = forge.claims["exp"].as_i64().unwrap() - forge.claims["iat"].as_i64().unwrap();
    assert!(lifetime <= 300);
}

#[tokio::test]
async fn no_algorithm_is_no_signature() {
    let forge = Forge::new().await;
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        for signature in ["", "AAAA"] {
            let header = json!({"alg": alg, "typ": "JWT", "kid": forge.header["kid"]});
            let token = format!("{}.{}.{signature}", encode(&header), encode(&forge.claims));
            assert_eq!(forge.app.me(&token).await, REFUSED, "{alg}");
        }
    }
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let forge = Forge::new().await;
    let raw = forge.key.public_key().as_ref().to_vec();
    let text = URL_SAFE_NO_PAD.encode(&raw).into_bytes();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&raw)
    );
    for secret in [raw, text, pem.into_bytes(), Vec::new()] {
        for alg in ["HS256", "HS384", "HS512"] {
            let header = json!({"alg": alg, "typ": "JWT", "kid": forge.header["kid"]});
            let message = format!("{}.{}", encode(&header), encode(&forge.claims));
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let signature = hmac::sign(&key, message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
            assert_eq!(forge.app.me(&token).await, REFUSED, "{alg}");
        }
    }
}

#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let forge = Forge::new().await;
    let fetches = || {
        let text = forge.app.metrics.scope("auth").encode();
        let count = text.lines().find(|line| {
            line.starts_with("touchstone_auth_request_duration_seconds_count")
                && line.contains("jwks")
        });
        count.map_or(0, |line| {
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        })
    };
    let before = fetches();
    let long = "k".repeat(5_000);
    let kids = [
        "../../dev/null",
        "' OR '1'='1",
        "; DROP TABLE users",
        "\0",
        "unknown",
        "service",
        &long,
    ];
    for kid in kids.iter().cycle().take(50) {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});
        assert_eq!(
            forge.app.me(&forge.sign(&header, &forge.claims)).await,
            REFUSED
        );
    }
    let huge = json!({"alg": "EdDSA", "kid": "k".repeat(10_240)});
    assert_eq!(
        forge.app.me(&forge.sign(&huge, &forge.claims)).await,
        REFUSED
    );
    let without = json!({"alg": "EdDSA", "typ": "JWT"});
    assert_eq!(
        forge.app.me(&forge.sign(&without, &forge.claims)).await,
        REFUSED
    );
    assert!(fetches() - before <= 1, "{} fetches", fetches() - before);
}

#[tokio::test]
async fn keys_that_the_token_brings_along_are_ignored() {
    let forge = Forge::new().await;
    let own = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(own.public_key().as_ref());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": forge.header["kid"]});
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut header = forge.header.clone();
        header[name] = value;
        assert_eq!(
            forge.app.me(&sign_with(&own, &header, &forge.claims)).await,
            REFUSED,
            "{name}"
        );
    }
}

#[tokio::test]
async fn times_are_whole_seconds_that_are_present() {
    let forge = Forge::new().await;
    let exp = forge.claims["exp"].as_i64().unwrap();
    let future = forge.app.clock.now().timestamp() + 60;
    for changes in [
        json!({"exp": exp.to_string()}),
        json!({"exp": exp as f64 + 0.5}),
        json!({"exp": -1}),
        json!({"exp": 0}),
        json!({"exp": 1e300}),
        json!({"exp": null}),
        json!({"exp": []}),
        json!({"exp": {}}),
        json!({"exp": true}),
        json!({"nbf": future}),
        json!({"nbf": "0"}),
        json!({"nbf": null}),
        json!({"iat": null}),
    ] {
        assert_eq!(
            forge.app.me(&forge.claiming(&changes)).await,
            REFUSED,
            "{changes}"
        );
    }
}

#[tokio::test]
async fn issuer_audience_and_purpose_must_be_the_own_ones() {
    let forge = Forge::new().await;
    for changes in [
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": ["touchstone", "other"]}),
        json!({"aud": []}),
        json!({"iss": null}),
        json!({"iss": "other"}),
        json!({"iss": ""}),
        json!({"typ": null}),
        json!({"typ": "refresh"}),
        json!({"typ": "service"}),
        json!({"typ": "Access"}),
        json!({"role": "root"}),
        json!({"role": null}),
        json!({"tenant": null}),
        json!({"tenant": "*"}),
        json!({"sub": ""}),
        json!({"fam": null}),
    ] {
        assert_eq!(
            forge.app.me(&forge.claiming(&changes)).await,
            REFUSED,
            "{changes}"
        );
    }
}

#[tokio::test]
async fn refresh_and_access_tokens_do_not_stand_for_each_other() {
    let app = App::new().await;
    let tokens = app.register("ada@example.org").await;
    assert_eq!(app.me(&tokens.refresh_token).await, REFUSED);
    assert!(!app.is_valid(&tokens.refresh_token).await);
    let answer = app.refresh(&tokens.access_token).await;
    assert_eq!(answer.problem(), "401 auth.invalid_refresh_token");
    assert_eq!(app.refresh(&tokens.refresh_token).await.status, 200);
}

#[tokio::test]
async fn there_is_no_back_door() {
    let app = App::new().await;
    let tokens = app.register("ada@example.org").await;
    for token in [
        "test-load-token-1",
        "test-load-token-",
        "eyJ",
        "eyJhbGciOiJub25lIn0.e30.",
        "tsk_",
        "tsk_0000000000000000000000000000000000000000000",
        "null",
        "undefined",
        "..",
    ] {
        assert_eq!(app.me(token).await, REFUSED, "{token}");
        assert!(!app.is_valid(token).await, "{token}");
    }
    let huge = "a".repeat(9_000);
    assert_eq!(app.me(&huge).await, REFUSED);
    let query = format!("/auth/me?access_token={0}&token={0}", tokens.access_token);
    assert_eq!(
        app.anonymous().get(&query).await.problem(),
        "401 auth.missing_credential"
    );
    for (name, value) in [
        ("x-test-user", "admin"),
        ("x-user-id", "1"),
        ("x-tenant-id", "1"),
    ] {
        let request = http::Request::get("/auth/me").header(name, value);
        let answer = app
            .anonymous()
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await;
        assert_eq!(answer.problem(), "401 auth.missing_credential");
    }
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let app = App::new().await;
    let token = app.register("ada@example.org").await.access_token;
    app.clock.advance(Duration::from_mins(5));
    assert_eq!(app.me(&token).await, "200", "within the leeway");
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(app.me(&token).await, REFUSED);
    assert!(!app.is_valid(&token).await);
}

#[tokio::test]
async fn a_single_changed_byte_breaks_the_signature() {
    let forge = Forge::new().await;
    let token = forge.claiming(&json!({}));
    let admin = forge.claims["role"].clone();
    assert_eq!(admin, "admin");
    let mut claims = forge.claims.clone();
    claims["role"] = json!("member");
    let parts: Vec<_> = token.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], encode(&claims), parts[2]);
    assert_eq!(forge.app.me(&changed).await, REFUSED);
}

#[tokio::test]
async fn a_shared_secret_signs_and_verifies_and_publishes_nothing() {
    let secret = "0123456789abcdef0123456789abcdef";
    let app = App::with(Config {
        jwt_secret: secret.into(),
        ..config()
    })
    .await;
    let token = app.register("ada@example.org").await.access_token;
    assert_eq!(decode(token.split('.').next().unwrap())["alg"], "HS256");
    assert_eq!(app.me(&token).await, "200");
    assert!(app.is_valid(&token).await);
    let jwks: Value = app.anonymous().get("/.well-known/jwks.json").await.json();
    assert_eq!(jwks, json!({"keys": []}));
    let foreign = App::new()
        .await
        .register("ada@example.org")
        .await
        .access_token;
    assert_eq!(app.me(&foreign).await, REFUSED);
}
