use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytesize::ByteSize;
use http::{Method, Request};
use serde_json::{Value, json};
use touchstone_api::auth::TokenResponse;
use touchstone_api::document::CreateDocumentRequest;
use touchstone_auth::{Argon2Config, Auth, Config, Deps};
use touchstone_client::{AuthKeys, Common, Mesh};
use touchstone_identity::{AccessPolicy, ServiceKey, Verifier};
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_testing::{Answer, SERVICE_SECRET, TestClient};
use touchstone_types::{FrozenClock, IdSource};

/// Two apps on one file must not make the same ids.
static SEED: AtomicU64 = AtomicU64::new(1);

/// A good password.
pub const PASSWORD: &str = "correct horse 7";

/// Auth on a frozen clock, its own keys and its own mesh.
pub struct App {
    pub router: Router,
    pub auth: Auth,
    pub clock: Arc<FrozenClock>,
    pub mesh: Mesh,
    pub verifier: Arc<Verifier>,
    pub metrics: Metrics,
    pub life: Lifecycle,
}

/// The defaults with a store in memory and cheap hashes.
pub fn config() -> Config {
    Config {
        store: "sqlite::memory:".into(),
        argon2: Argon2Config {
            memory: ByteSize::kib(64),
            iterations: 1,
            parallelism: 1,
            slots: 2,
            queue: 500,
        },
        ..touchstone_config::defaults()
    }
}

impl App {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::with_demo(config, Arc::new([])).await
    }

    pub async fn with_demo(config: Config, demo: Arc<[CreateDocumentRequest]>) -> Self {
        let clock = Arc::new(FrozenClock::default());
        let key = ServiceKey::new(SERVICE_SECRET).unwrap();
        let mesh = Mesh::new(key.clone(), clock.clone());
        let secret = config.jwt_secret.clone();
        let verifier = Arc::new(Verifier::new(
            AccessPolicy::default(),
            clock.clone(),
            key,
            (!secret.is_empty()).then(|| secret.expose().as_bytes()),
            Arc::new(AuthKeys::new(mesh.clone())),
        ));
        let (metrics, life) = (Metrics::new(), Lifecycle::new());
        let common = Common {
            mesh: mesh.clone(),
            verifier: Arc::clone(&verifier),
            metrics: metrics.clone(),
            clock: clock.clone(),
            ids: IdSource::seeded(clock.clone(), SEED.fetch_add(1, Ordering::Relaxed)),
            recorder: touchstone_client::Recorder::off(),
        };
        let deps = Deps::resolve(common, demo);
        let (router, auth) = touchstone_auth::build_with_handle(config, deps, &life)
            .await
            .unwrap();
        mesh.mount("auth", router.clone());
        Self {
            router,
            auth,
            clock,
            mesh,
            verifier,
            metrics,
            life,
        }
    }

    pub fn anonymous(&self) -> TestClient {
        TestClient::anonymous(self.router.clone())
    }

    pub fn client(&self, token: &str) -> TestClient {
        TestClient::new(self.router.clone(), token)
    }

    pub async fn register(&self, email: &str) -> TokenResponse {
        let body = json!({"email": email, "password": PASSWORD});
        let answer = self.anonymous().post("/auth/register", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    pub async fn login(&self, email: &str, password: &str) -> Answer {
        self.login_from(email, password, None).await
    }

    pub async fn login_from(&self, email: &str, password: &str, address: Option<&str>) -> Answer {
        let body = json!({"email": email, "password": password});
        self.post_from("/auth/login", &body, address).await
    }

    pub async fn post_from(&self, path: &str, body: &Value, address: Option<&str>) -> Answer {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(address) = address {
            request = request.header("x-client-address", address);
        }
        let body = Body::from(serde_json::to_vec(body).unwrap());
        self.anonymous().send(request.body(body).unwrap()).await
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.anonymous()
            .post("/auth/refresh", &json!({"refresh_token": token}))
            .await
    }

    pub async fn logout(&self, token: &str) -> Answer {
        self.anonymous()
            .post("/auth/logout", &json!({"refresh_token": token}))
            .await
    }

    pub async fn is_valid(&self, token: &str) -> bool {
        let answer = self
            .anonymous()
            .post("/auth/validate", &json!({"token": token}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json::<Value>()["valid"].as_bool().unwrap()
    }

    /// Status and code of `GET /auth/me` with this token.
    pub async fn me(&self, token: &str) -> String {
        let answer = self.client(token).get("/auth/me").await;
        if answer.status == 200 {
            "200".to_owned()
        } else {
            answer.problem()
        }
    }

    /// The value of a metric, named with its labels; 0 when it was never touched.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.scope("auth").encode();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    pub fn hashes(&self, purpose: &str) -> u64 {
        self.metric(&format!(
            "touchstone_auth_password_hashes_total{{purpose=\"{purpose}\"}}"
        ))
    }

    pub async fn stop(self) {
        self.mesh.clear();
        assert!(self.life.shutdown(Duration::from_secs(30)).await.is_clean());
    }
}

impl Drop for App {
    /// The mesh holds the router, which holds the mesh: without this nothing of an app ever ends.
    fn drop(&mut self) {
        self.mesh.clear();
    }
}

/// A problem's body without what differs from request to request.
pub fn body_of(answer: &Answer) -> Value {
    let mut body: Value = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    body
}
