//! The real service, an embedding and a vector service in memory, and the means to disturb them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use touchstone_api::document::{AcceptedDocument, Document, Timeline};
use touchstone_api::embedding::{
    BM25, CHARS, Embedding, EmbeddingRequest, EmbeddingResponse, Usage,
};
use touchstone_api::vector::{
    Collection, CountResponse, CreateCollectionRequest, Filter, FilterRequest, Point,
    UpsertRequest, UpsertResponse,
};
use touchstone_document::store::sqlite::SqliteStore;
use touchstone_document::{Config, Deps};
use touchstone_error::ErrorKind;
use touchstone_events::{EventBus, MemoryBus};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_types::{ChunkId, DocumentId, DocumentStatus, SparseVector, SystemClock, TenantId};
use touchstone_web::{AppJson, Problem, Surface};

/// How the neighbours behave.
#[derive(Debug, Default)]
pub struct Mood {
    pub embedding_down: bool,
    pub vector_down: bool,
    /// Texts that contain it make embedding answer 500.
    pub poison: Option<&'static str>,
    /// Texts that contain it make embedding panic in the worker's own task.
    pub panic: Option<&'static str>,
    /// Points that the next upserts lose, though they say they wrote them.
    pub lose: usize,
    pub model: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Neighbours {
    mood: Arc<Mutex<Mood>>,
    points: Arc<Mutex<BTreeMap<(TenantId, ChunkId), Point>>>,
    collection: Arc<Mutex<Option<Collection>>>,
    /// Closed: embedding holds its answers back.
    gate: watch::Sender<bool>,
    /// Requests to embedding that began.
    pub embeds: watch::Sender<usize>,
}

impl Neighbours {
    fn new() -> Self {
        Self {
            mood: Arc::default(),
            points: Arc::default(),
            collection: Arc::default(),
            gate: watch::Sender::new(true),
            embeds: watch::Sender::new(0),
        }
    }

    pub fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.lock().unwrap());
    }

    pub fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub fn release(&self) {
        self.gate.send_replace(true);
    }

    pub fn points_of(&self, id: DocumentId) -> Vec<Point> {
        let points = self.points.lock().unwrap();
        let mut found: Vec<_> = points
            .values()
            .filter(|it| it.payload.document_id == id)
            .cloned()
            .collect();
        found.sort_by_key(|point| (point.payload.version, point.payload.ordinal));
        found
    }

    pub fn point_count(&self) -> usize {
        self.points.lock().unwrap().len()
    }

    pub fn drop_collection(&self) {
        *self.collection.lock().unwrap() = None;
        self.points.lock().unwrap().clear();
    }

    fn embedding(&self) -> Router {
        Router::new()
            .route("/embeddings", post(embed))
            .with_state(self.clone())
    }

    fn vector(&self, identity: &TestIdentity) -> Router {
        let routes = Router::new()
            .route("/collections/{name}", put(create).delete(drop_all))
            .route("/collections/{name}/points", post(upsert))
            .route("/collections/{name}/points/delete", post(delete))
            .route("/collections/{name}/count", post(count))
            .with_state(self.clone());
        let surface = Surface::new(
            "vector",
            &Lifecycle::new(),
            &identity.metrics,
            identity.verifier.clone(),
            identity.ids.clone(),
        )
        .body_limit(64 << 20);
        surface.finish(routes.into())
    }
}

fn refuse(status: StatusCode) -> Response {
    let problem = Problem::new(
        ErrorKind::from_status(status.as_u16()),
        "fake.refused",
        "refused",
    );
    problem.render("", None)
}

async fn embed(
    State(it): State<Neighbours>,
    AppJson(request): AppJson<EmbeddingRequest>,
) -> Response {
    it.embeds.send_modify(|count| *count += 1);
    let mut gate = it.gate.subscribe();
    gate.wait_for(|open| *open).await.unwrap();
    let mood = it.mood.lock().unwrap();
    let has = |word: Option<&str>| {
        word.is_some_and(|word| request.input.iter().any(|text| text.contains(word)))
    };
    if mood.embedding_down {
        return refuse(StatusCode::SERVICE_UNAVAILABLE);
    }
    if has(mood.poison) {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let (model, panics) = (mood.model, has(mood.panic));
    drop(mood);
    assert!(!panics, "on purpose");
    let sparse = |text: &String| SparseVector {
        indices: vec![u32::try_from(text.len()).unwrap()],
        values: vec![1.0],
    };
    let items = request.input.iter().map(|text| Embedding {
        dense: model.map(|_| vec![1.0, 0.0]),
        sparse: BTreeMap::from([(BM25.into(), sparse(text)), (CHARS.into(), sparse(text))]),
        language: "en".into(),
    });
    AppJson(EmbeddingResponse {
        model: model.map(str::to_owned),
        dimension: model.map(|_| 2),
        items: items.collect(),
        usage: Usage::default(),
    })
    .into_response()
}

async fn create(
    State(it): State<Neighbours>,
    Path(name): Path<String>,
    AppJson(request): AppJson<CreateCollectionRequest>,
) -> Response {
    let mut collection = it.collection.lock().unwrap();
    let wanted = Collection {
        name,
        dense: request.dense,
        sparse: request.sparse,
        points: 0,
    };
    match &mut *collection {
        Some(known)
            if known.dense.is_some() && wanted.dense.is_some() && known.dense != wanted.dense =>
        {
            return refuse(StatusCode::CONFLICT);
        }
        Some(known) => known.dense = known.dense.take().or(wanted.dense),
        None => *collection = Some(wanted),
    }
    AppJson(collection.clone()).into_response()
}

async fn drop_all(State(it): State<Neighbours>) -> StatusCode {
    it.drop_collection();
    StatusCode::NO_CONTENT
}

impl Neighbours {
    fn refusal(&self) -> Option<Response> {
        if self.mood.lock().unwrap().vector_down {
            return Some(refuse(StatusCode::SERVICE_UNAVAILABLE));
        }
        self.collection
            .lock()
            .unwrap()
            .is_none()
            .then(|| refuse(StatusCode::NOT_FOUND))
    }
}

async fn upsert(
    State(it): State<Neighbours>,
    caller: touchstone_web::Caller,
    AppJson(request): AppJson<UpsertRequest>,
) -> Response {
    if let Some(refusal) = it.refusal() {
        return refusal;
    }
    let mut points = it.points.lock().unwrap();
    let upserted = request.points.len();
    for point in request.points {
        let mut mood = it.mood.lock().unwrap();
        if mood.lose > 0 {
            mood.lose -= 1;
            continue;
        }
        points.insert((caller.tenant, point.id), point);
    }
    AppJson(UpsertResponse { upserted }).into_response()
}

fn matches(filter: &Filter, point: &Point) -> bool {
    let payload = &point.payload;
    filter
        .document_ids
        .as_ref()
        .is_none_or(|ids| ids.contains(&payload.document_id))
        && filter
            .version
            .is_none_or(|version| version == payload.version)
        && filter
            .version_below
            .is_none_or(|version| payload.version < version)
}

async fn delete(
    State(it): State<Neighbours>,
    caller: touchstone_web::Caller,
    AppJson(request): AppJson<FilterRequest>,
) -> Response {
    if let Some(refusal) = it.refusal() {
        return refusal;
    }
    let mut points = it.points.lock().unwrap();
    let before = points.len();
    points
        .retain(|(tenant, _), point| *tenant != caller.tenant || !matches(&request.filter, point));
    AppJson(CountResponse {
        count: (before - points.len()) as u64,
    })
    .into_response()
}

async fn count(
    State(it): State<Neighbours>,
    caller: touchstone_web::Caller,
    AppJson(request): AppJson<FilterRequest>,
) -> Response {
    if let Some(refusal) = it.refusal() {
        return refusal;
    }
    let points = it.points.lock().unwrap();
    let count = points
        .iter()
        .filter(|((tenant, _), point)| *tenant == caller.tenant && matches(&request.filter, point))
        .count();
    AppJson(CountResponse {
        count: count as u64,
    })
    .into_response()
}

/// A service on a file, with its neighbours.
pub struct World {
    pub identity: TestIdentity,
    pub neighbours: Neighbours,
    pub config: Config,
    pub bus: Arc<dyn EventBus>,
    pub caller: Caller,
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = TestIdentity::new();
        let neighbours = Neighbours::new();
        identity.mount("embedding", neighbours.embedding());
        identity.mount("vector", neighbours.vector(&identity));
        let mut config: Config = touchstone_config::defaults();
        config.store = format!("sqlite://{}", dir.path().join("document.db").display()).into();
        config.ingest.backoff_first = Duration::from_millis(1);
        config.ingest.backoff_most = Duration::from_millis(20);
        config.ingest.sweep_every = Duration::from_millis(5);
        config.ingest.attempts = 3;
        let caller = identity.caller();
        Self {
            identity,
            neighbours,
            config,
            bus: Arc::new(MemoryBus::new()),
            caller,
            dir,
        }
    }

    pub fn uri(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("document.db").display())
    }

    pub async fn start(&self) -> Service {
        self.start_on(SqliteStore::open(self.config.store.as_str()).await.unwrap())
            .await
    }

    pub async fn start_on(&self, store: SqliteStore) -> Service {
        let mut deps = Deps::resolve(self.identity.common(), self.bus.clone(), &self.config);
        deps.clock = Arc::new(SystemClock);
        deps.parser = Some(env!("CARGO_BIN_EXE_document-parse-worker").into());
        deps.metrics = touchstone_telemetry::Metrics::new();
        let life = Lifecycle::new();
        let router = touchstone_document::build_on(store, self.config.clone(), deps, &life).await;
        let router = router.unwrap();
        let client = TestClient::new(router.clone(), self.identity.bearer(&self.caller));
        Service {
            router,
            life,
            client,
        }
    }

    pub fn client(&self, service: &Service, caller: &Caller) -> TestClient {
        TestClient::new(service.router.clone(), self.identity.bearer(caller))
    }
}

/// A running service.
pub struct Service {
    pub router: Router,
    pub life: Lifecycle,
    pub client: TestClient,
}

impl Service {
    /// Stops as a signal does.
    pub async fn stop(self) {
        let report = self.life.shutdown(Duration::from_mins(1)).await;
        assert!(report.is_clean(), "{report:?}");
    }

    /// Drops every task where it stands.
    pub async fn crash(self) {
        self.life.shutdown(Duration::ZERO).await;
    }

    pub async fn upload(&self, filename: &str, content: &str) -> DocumentId {
        let body = json!({ "filename": filename, "content": content });
        let answer = self.client.post("/documents", &body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json::<AcceptedDocument>().id
    }

    pub async fn replace(&self, id: DocumentId, content: &str) -> u32 {
        let body = json!({ "filename": "new.txt", "content": content });
        let answer = self
            .client
            .json(Method::PUT, &format!("/documents/{id}"), &body)
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json::<AcceptedDocument>().version
    }

    pub async fn get(&self, id: DocumentId) -> Document {
        self.client.get(&format!("/documents/{id}")).await.json()
    }

    pub async fn timeline(&self, id: DocumentId) -> Timeline {
        self.client
            .get(&format!("/documents/{id}/timeline"))
            .await
            .json()
    }

    /// The states of the current version, without repeats.
    pub async fn states(&self, id: DocumentId) -> Vec<String> {
        let mut states: Vec<_> = self
            .timeline(id)
            .await
            .items
            .iter()
            .map(|it| it.status.to_string())
            .collect();
        states.dedup();
        states
    }

    pub async fn wait_for(&self, id: DocumentId, status: DocumentStatus) -> Document {
        eventually(&format!("{id} is {status}"), async || {
            let document = self.get(id).await;
            let settled = document.status.is_settled() && document.status != status;
            assert!(!settled, "{:?} {:?}", document.status, document.failure);
            (document.status == status).then_some(document)
        })
        .await
    }

    pub async fn queue_is_empty(&self) {
        eventually("the queue is empty", async || {
            let health: Value = self.client.get("/health").await.json();
            (health["details"]["queue_depth"] == 0).then_some(())
        })
        .await;
    }
}

/// Asks until there is an answer; fails after a minute.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A text of `count` sentences that all differ.
pub fn sentences(word: &str, count: usize) -> String {
    let sentence = |n| {
        format!(
            "Sentence number {n} of the {word} tells about thing {} at length. ",
            n * 7
        )
    };
    (0..count).map(sentence).collect::<Vec<_>>().concat()
}
