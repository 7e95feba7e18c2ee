use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use touchstone_api::generation::AskEvent;
use touchstone_api::retrieval::{ContextPassage, SearchRequest, SearchResponse};
use touchstone_client::{decode_ask_event, sse};
use touchstone_error::ErrorKind;
use touchstone_generation::{Config, Deps, build};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_types::{ChunkId, DocumentId};
use touchstone_web::{AppJson, Problem};
use tower::ServiceExt;
use uuid::Uuid;

pub const NILE: &str = "The Nile is a river in Africa. It is 6,650 km long and flows through eleven \
                        countries. Its two tributaries meet in Khartoum.";
pub const AMAZON: &str = "The Amazon carries more water than any other river. Francisco de Orellana \
                          sailed down it in 1541.";
/// Bytes of the document before its first passage.
pub const OFFSET: usize = 1_000;

/// What the made-up retrieval answers.
#[derive(Clone, Debug, Default)]
pub enum Found {
    #[default]
    Rivers,
    Nothing,
    Broken,
}

pub struct World {
    pub identity: TestIdentity,
    pub caller: Caller,
    pub client: TestClient,
    pub router: Router,
    pub life: Lifecycle,
    pub searches: Arc<Mutex<Vec<SearchRequest>>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Found::default(), |_| {}).await
    }

    pub async fn with(found: Found, edit: impl FnOnce(&mut Config)) -> Self {
        let identity = TestIdentity::new();
        let searches = Arc::new(Mutex::new(Vec::new()));
        identity.mount("retrieval", retrieval(found, Arc::clone(&searches)));
        let mut config: Config = touchstone_config::defaults();
        config.store = "sqlite::memory:".into();
        config.simulated.profile = "instant".into();
        edit(&mut config);
        let life = Lifecycle::new();
        let deps = Deps::resolve(identity.common(), &config);
        let router = build(config, deps, &life).await.unwrap();
        let caller = identity.caller();
        let client = TestClient::new(router.clone(), identity.bearer(&caller));
        Self {
            identity,
            caller,
            client,
            router,
            life,
            searches,
        }
    }

    /// The same service for somebody else.
    pub fn other(&self, caller: &Caller) -> TestClient {
        TestClient::new(self.router.clone(), self.identity.bearer(caller))
    }

    /// Sends a request and gives the response with its body unread.
    pub async fn open(&self, path: &str, body: &Value) -> Response {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json")
            .header(
                "authorization",
                format!("Bearer {}", self.identity.bearer(&self.caller)),
            )
            .body(Body::from(body.to_string()))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks for a stream and reads it to its end.
    pub async fn stream(&self, body: &Value) -> (http::HeaderMap, Vec<AskEvent>) {
        let response = self.open("/ask", body).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let headers = response.headers().clone();
        let events = sse::events(response.into_body().into_data_stream());
        let events = events.map(|event| decode_ask_event(&event.unwrap()).unwrap());
        (headers, events.collect().await)
    }

    /// A metric's value, 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.client.get("/metrics").await.text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }
}

type Shared = (Found, Arc<Mutex<Vec<SearchRequest>>>);

fn retrieval(found: Found, searches: Arc<Mutex<Vec<SearchRequest>>>) -> Router {
    async fn search(
        State((found, searches)): State<Shared>,
        AppJson(request): AppJson<SearchRequest>,
    ) -> Response {
        searches.lock().unwrap().push(request);
        let texts: &[&str] = match found {
            Found::Rivers => &[NILE, AMAZON],
            Found::Nothing => &[],
            Found::Broken => {
                let problem =
                    Problem::new(ErrorKind::Unavailable, "retrieval.broken", "on purpose");
                return problem.render("test", None);
            }
        };
        let context = texts.iter().enumerate().map(|(at, text)| ContextPassage {
            marker: at + 1,
            document_id: DocumentId::from_uuid(Uuid::from_u128(at as u128 + 1)),
            version: 1,
            chunk_id: ChunkId::from_uuid(Uuid::from_u128(at as u128 + 101)),
            title: format!("Rivers {}", at + 1),
            start: OFFSET,
            end: OFFSET + text.len(),
            text: (*text).to_owned(),
            language: "en".into(),
            score: 1.0 / (at as f32 + 1.0),
            metadata: [("url".to_owned(), "https://example.org".to_owned())].into(),
        });
        AppJson(SearchResponse {
            hits: Vec::new(),
            context: context.collect(),
            signals: vec!["bm25".into(), "chars".into()],
            dense_model: None,
            confidence: 0.8,
            degraded: Vec::new(),
            explain: None,
        })
        .into_response()
    }
    Router::new()
        .route("/search", axum::routing::post(search))
        .with_state((found, searches))
}
