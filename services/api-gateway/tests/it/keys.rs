//! The keys of access tokens while auth answers, fails, and is asked by those who forge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use http::StatusCode;
use touchstone_identity::{
    AccessClaims, AccessPolicy, ApiKeyVerdict, Caller, KeySource, KeySourceError, PublicKey,
    ServiceKey, Signer, TokenType, Verifier,
};
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{Answer, SERVICE_SECRET, TestClient, TestIdentity};

use crate::support::{Mode, PATIENCE, Stack};
use crate::websockets::{closed, echoing, open};

const KID: &str = "genuine";
const API_KEY: &str = "tsk_a-key-that-auth-knows";

/// Auth as the gateway asks it; counts.
struct Auth {
    pair: Ed25519KeyPair,
    /// The owner of the API key.
    owner: Caller,
    fails: AtomicBool,
    fetches: AtomicU64,
}

#[async_trait]
impl KeySource for Auth {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError> {
        self.fetches.fetch_add(1, Ordering::AcqRel);
        if self.fails.load(Ordering::Acquire) {
            return Err(KeySourceError("out of order".into()));
        }
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        let kid = KID.into();
        Ok(vec![PublicKey { kid, x }])
    }

    async fn api_key(&self, key: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError> {
        if self.fails.load(Ordering::Acquire) {
            return Err(KeySourceError("out of order".into()));
        }
        Ok((key == API_KEY).then_some(ApiKeyVerdict {
            user: self.owner.user,
            tenant: self.owner.tenant,
            role: self.owner.role,
            expires_at: None,
        }))
    }
}

struct Asked {
    stack: Stack,
    auth: Arc<Auth>,
    reached: Arc<AtomicUsize>,
    started: Instant,
}

impl Asked {
    async fn start(fails: bool) -> Self {
        let mut identity = TestIdentity::new();
        let auth = Arc::new(Auth {
            pair: Ed25519KeyPair::generate().unwrap(),
            owner: identity.caller(),
            fails: AtomicBool::new(fails),
            fetches: AtomicU64::new(0),
        });
        identity.verifier = Arc::new(Verifier::new(
            AccessPolicy::default(),
            identity.clock.clone(),
            ServiceKey::new(SERVICE_SECRET).unwrap(),
            None,
            auth.clone(),
        ));
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let document = Router::new().fallback(move || {
            count.fetch_add(1, Ordering::AcqRel);
            async { "reached" }
        });
        let services = [
            ("document", document),
            ("telegram", echoing(&Lifecycle::new())),
        ];
        let stack = Stack::of(identity, Mode::InProcess, services, |config| {
            config.websocket.judge = Duration::from_millis(20);
        });
        Self {
            stack: stack.await,
            auth,
            reached,
            started: Instant::now(),
        }
    }

    /// A token of a new user, signed with auth's key under this name.
    fn token(&self, kid: &str) -> String {
        let identity = &self.stack.identity;
        let (caller, policy) = (identity.caller(), AccessPolicy::default());
        let now = touchstone_types::Clock::now(&*identity.clock).timestamp();
        let claims = AccessClaims {
            iss: policy.issuer,
            aud: policy.audience,
            sub: caller.user,
            tenant: caller.tenant,
            role: caller.role,
            typ: TokenType::Access,
            iat: now,
            nbf: now,
            exp: now + 3600,
            jti: caller.user.to_string(),
            fam: identity.ids.next(),
        };
        let pkcs8 = self.auth.pair.to_pkcs8().unwrap();
        Signer::ed25519(kid, pkcs8.as_ref()).sign(&claims).unwrap()
    }

    async fn get(&self, credential: &str) -> Answer {
        let client = TestClient::new(self.stack.router.clone(), credential);
        client.get("/documents/x").await
    }

    fn fetches(&self) -> u64 {
        self.auth.fetches.load(Ordering::Acquire)
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::Acquire)
    }

    /// Fetches that may have been made since the start, one in each pause.
    fn allowed(&self, pause: Duration) -> u64 {
        1 + self.started.elapsed().as_secs() / pause.as_secs()
    }

    fn fail(&self, fails: bool) {
        self.auth.fails.store(fails, Ordering::Release);
    }
}

#[tokio::test]
async fn a_flood_of_forged_key_ids_fetches_the_keys_once() {
    let asked = Asked::start(false).await;
    let genuine = asked.token(KID);
    let forged: Vec<_> = (0..500)
        .map(|n| asked.token(&format!("forged-{n}")))
        .collect();
    for answer in join_all(forged.iter().map(|token| asked.get(token))).await {
        assert_eq!(answer.problem(), "401 auth.invalid_credential");
    }
    assert!(asked.fetches() <= asked.allowed(Duration::from_secs(10)));
    assert_eq!((asked.fetches() > 0, asked.reached()), (true, 0));
    // The flood kept nobody out whose key is known by then.
    assert_eq!(asked.get(&genuine).await.text(), "reached");
    asked.stack.stop().await;
}

#[tokio::test]
async fn while_auth_fails_nobody_gets_in_who_was_not_known_and_auth_is_spared() {
    let asked = Asked::start(false).await;
    let known = asked.token(KID);
    assert_eq!(asked.get(&known).await.text(), "reached");
    asked.stack.stop().await;

    let asked = Asked::start(true).await;
    let credentials = (0..200).map(|n| match n % 4 {
        // Nobody can tell which of these is genuine.
        0 => asked.token(KID),
        1 => asked.token("rotated"),
        2 => API_KEY.to_owned(),
        _ => "tsk_forged".to_owned(),
    });
    let credentials: Vec<_> = credentials.collect();
    for answer in join_all(credentials.iter().map(|credential| asked.get(credential))).await {
        assert_eq!(answer.problem(), "503 auth.unavailable");
        assert!(answer.headers.contains_key("retry-after"));
        assert!(!answer.text().contains("out of order"), "{}", answer.text());
    }
    // What can be judged without auth is.
    for forged in ["x", "eyJhbGciOiJub25lIn0.e30.", "test-load-token-1"] {
        assert_eq!(
            asked.get(forged).await.problem(),
            "401 auth.invalid_credential"
        );
    }
    assert!(
        asked.fetches() <= asked.allowed(Duration::from_secs(1)),
        "{}",
        asked.fetches()
    );
    assert_eq!(asked.reached(), 0);

    asked.fail(false);
    let genuine = asked.token(KID);
    let back = async {
        while asked.get(&genuine).await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(asked.get(API_KEY).await.text(), "reached");
    asked.stack.stop().await;
}

#[tokio::test]
async fn those_who_are_known_stay_known_while_auth_fails() {
    let asked = Asked::start(false).await;
    let genuine = asked.token(KID);
    assert_eq!(asked.get(&genuine).await.text(), "reached");
    asked.fail(true);
    assert_eq!(asked.get(&genuine).await.text(), "reached");
    // The key is known, so its other tokens are judged here.
    let other = asked.token(KID);
    assert_eq!(asked.get(&other).await.text(), "reached");
    let (head, signature) = other.rsplit_once('.').unwrap();
    let forged = format!("{head}x.{signature}");
    assert_eq!(
        asked.get(&forged).await.problem(),
        "401 auth.invalid_credential"
    );
    asked.stack.identity.clock.advance(Duration::from_hours(2));
    assert_eq!(
        asked.get(&genuine).await.problem(),
        "401 auth.invalid_credential"
    );
    asked.stack.stop().await;
}

#[tokio::test]
async fn a_socket_whose_credential_cannot_be_judged_any_more_is_closed_for_later() {
    let asked = Asked::start(false).await;
    let address = asked.stack.listen().await;
    let credential = [("x-api-key", API_KEY.to_owned())];
    let (mut socket, _) = open(address, &credential).await.unwrap();
    asked.fail(true);
    // What is known of the key is soon too old anyway.
    asked.stack.identity.verifier.forget_api_keys();
    let (code, reason) = closed(&mut socket).await;
    assert_eq!(code, 1013, "{reason}");
    asked.stack.stop().await;
}
