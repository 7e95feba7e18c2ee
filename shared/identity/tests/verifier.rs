//! What the verifier lets through, and what it does not.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use touchstone_identity::{
    AccessPolicy, ApiKeyVerdict, Caller, CallerKind, Error, KeySource, KeySourceError, PublicKey,
    RequestContext, ServiceKey, Verifier,
};
use touchstone_types::{Clock, FrozenClock, IdSource, Role, TenantId};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SERVICE: &[u8] = b"fedcba9876543210fedcba9876543210";

#[derive(Default)]
struct Source {
    fetches: AtomicUsize,
}

#[async_trait]
impl KeySource for Source {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
    async fn api_key(&self, _: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError> {
        Ok(None)
    }
}

struct Fixture {
    verifier: Verifier,
    source: Arc<Source>,
    clock: Arc<FrozenClock>,
}

fn fixture(shared: Option<&[u8]>) -> Fixture {
    let (source, clock) = (
        Arc::new(Source::default()),
        Arc::new(FrozenClock::default()),
    );
    let key = ServiceKey::new(SERVICE).unwrap();
    let verifier = Verifier::new(
        AccessPolicy::default(),
        clock.clone(),
        key,
        shared,
        source.clone(),
    );
    Fixture {
        verifier,
        source,
        clock,
    }
}

fn context() -> RequestContext {
    RequestContext::background("test")
}

fn claims(now: i64) -> Value {
    let ids = IdSource::seeded(Arc::new(FrozenClock::default()), 1);
    json!({"iss": "touchstone", "aud": "touchstone", "sub": ids.next::<TenantId>(),
        "tenant": ids.next::<TenantId>(), "role": "member", "typ": "access", "iat": now,
        "nbf": now, "exp": now + 300, "jti": "a", "fam": ids.next::<TenantId>()})
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signature.unwrap())
}

#[tokio::test]
async fn admits_a_good_token_until_it_expires() {
    let Fixture {
        verifier, clock, ..
    } = fixture(Some(SECRET));
    let token = hs256(
        &json!({"alg": "HS256"}),
        &claims(clock.now().timestamp()),
        SECRET,
    );
    let caller = verifier.verify(&token, context()).await.unwrap();
    assert_eq!((caller.kind, caller.role), (CallerKind::User, Role::Member));
    clock.advance(Duration::from_secs(306));
    assert!(matches!(
        verifier.verify(&token, context()).await,
        Err(Error::Invalid)
    ));
}

#[tokio::test]
async fn refuses_claims_of_the_wrong_kind_or_value() {
    let Fixture {
        verifier, clock, ..
    } = fixture(Some(SECRET));
    let now = clock.now().timestamp();
    for (claim, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(9_999_999_999.5)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("nbf", json!(now + 60)),
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("aud", json!(["touchstone", "other"])),
        ("typ", json!("refresh")),
        ("typ", json!("service")),
        ("sub", json!("root")),
    ] {
        let mut bad = claims(now);
        bad[claim] = value.clone();
        let token = hs256(&json!({"alg": "HS256"}), &bad, SECRET);
        let verdict = verifier.verify(&token, context()).await;
        assert!(
            matches!(verdict, Err(Error::Invalid)),
            "{claim} = {value}: {verdict:?}"
        );
    }
    for claim in ["exp", "nbf", "iss", "aud", "sub", "tenant", "typ"] {
        let mut bad = claims(now);
        bad.as_object_mut().unwrap().remove(claim);
        let token = hs256(&json!({"alg": "HS256"}), &bad, SECRET);
        assert!(
            verifier.verify(&token, context()).await.is_err(),
            "without {claim}"
        );
    }
}

#[tokio::test]
async fn refuses_forged_headers_and_bypass_literals() {
    let Fixture {
        verifier,
        clock,
        source,
    } = fixture(None);
    let now = clock.now().timestamp();
    let none = |alg: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({"alg": alg})), part(claims(now)))
    };
    let mut tokens: Vec<String> = ["none", "None", "nOnE"].into_iter().map(none).collect();
    for header in [
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": "a"}),
        json!({"alg": "HS256", "kid": "../../dev/null"}),
        json!({"alg": "HS256", "kid": "' OR 1=1 --"}),
        json!({"alg": "HS256", "kid": "a", "jku": "http://127.0.0.1/keys"}),
        json!({"alg": "HS256", "kid": "service"}),
    ] {
        tokens.push(hs256(&header, &claims(now), SECRET));
    }
    tokens.extend(
        [
            "",
            "eyJ",
            "test-load-token-1",
            "eyJhbGciOiJub25lIn0.e30.",
            "a.b.c",
        ]
        .map(String::from),
    );
    tokens.push("x".repeat(20_000));
    for token in tokens {
        let verdict = verifier.verify(&token, context()).await;
        assert!(
            matches!(verdict, Err(Error::Invalid)),
            "{token}: {verdict:?}"
        );
    }
    assert_eq!(
        source.fetches.load(Ordering::SeqCst),
        1,
        "forged key ids cause one fetch"
    );
}

#[tokio::test]
async fn service_tokens_carry_the_caller_for_a_minute() {
    let Fixture {
        verifier, clock, ..
    } = fixture(None);
    let ids = IdSource::seeded(clock.clone(), 1);
    let caller = Caller::service("document", ids.next());
    let key = ServiceKey::new(SERVICE).unwrap();
    let token = key.mint("document", &caller, clock.now()).unwrap();
    let seen = verifier.verify(&token, context()).await.unwrap();
    assert_eq!(seen.tenant, caller.tenant);
    assert_eq!(seen.kind, CallerKind::Service("document".into()));
    clock.advance(Duration::from_secs(66));
    assert!(verifier.verify(&token, context()).await.is_err());
}

#[test]
fn short_service_keys_are_refused() {
    assert!(ServiceKey::new(b"short").is_none());
}
