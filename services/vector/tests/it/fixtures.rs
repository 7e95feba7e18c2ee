use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use touchstone_api::vector::{Filter, NamedSparseVector, Payload, Point, QueryVector};
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_types::{
    ChunkId, Clock, DocumentId, FrozenClock, IdSource, Role, Source, SparseVector, TenantId,
};
use touchstone_vector::domain::{CollectionName, Definition, Dense, TenantScope};
use touchstone_vector::store::{
    EmbeddedStore, QdrantOptions, QdrantStore, ScopedFilter, Search, VectorStore,
};
use touchstone_vector::{Config, CpuPool, Deps, Metrics};
use uuid::Uuid;

pub const MODEL: &str = "e5-small";
pub const DIMENSION: usize = 3;

pub fn chunk(number: u128) -> ChunkId {
    ChunkId::from_uuid(Uuid::from_u128(number))
}

pub fn document(number: u128) -> DocumentId {
    DocumentId::from_uuid(Uuid::from_u128(0xd0c0 + number))
}

pub fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(0x7e00 + number))
}

pub fn chunks() -> CollectionName {
    CollectionName::parse("chunks").unwrap()
}

pub fn definition() -> Definition {
    Definition {
        dense: Some(Dense {
            model: MODEL.to_owned(),
            dimension: DIMENSION,
        }),
        sparse: vec!["bm25".to_owned(), "chars".to_owned()],
    }
}

pub fn sparse(pairs: &[(u32, f32)]) -> SparseVector {
    SparseVector::from_pairs(pairs.to_vec())
}

pub fn by_bm25(pairs: &[(u32, f32)]) -> QueryVector {
    QueryVector::Sparse(NamedSparseVector {
        name: "bm25".to_owned(),
        vector: sparse(pairs),
    })
}

pub fn by_chars(pairs: &[(u32, f32)]) -> QueryVector {
    QueryVector::Sparse(NamedSparseVector {
        name: "chars".to_owned(),
        vector: sparse(pairs),
    })
}

pub fn search(queries: Vec<QueryVector>, limit: usize) -> Search {
    Search {
        queries,
        limit,
        complete_scores: false,
        with_payload: false,
    }
}

pub fn part(number: u128) -> TenantScope {
    TenantScope::new(tenant(number), chunks())
}

pub fn all(number: u128) -> ScopedFilter {
    ScopedFilter::new(part(number), Filter::default())
}

pub fn narrowed(number: u128, filter: Filter) -> ScopedFilter {
    ScopedFilter::new(part(number), filter)
}

pub fn of_documents(numbers: &[u128]) -> Filter {
    Filter {
        document_ids: Some(numbers.iter().map(|number| document(*number)).collect()),
        ..Filter::default()
    }
}

/// A point with a payload that tells its number; document `number / 4`, version 1.
pub fn point(number: u128, bm25: &[(u32, f32)]) -> Point {
    let even = number.is_multiple_of(2);
    Point {
        id: chunk(number),
        payload: Payload {
            document_id: document(number / 4),
            version: 1,
            ordinal: (number % 4) as u32,
            start: 10,
            end: 20,
            text: format!("text {number} \u{0} ё"),
            title: format!("title {number}"),
            heading: even.then(|| "heading".to_owned()),
            language: if even { "en" } else { "ru" }.to_owned(),
            source: Source::Upload,
            created_at: FrozenClock::default().now(),
            metadata: [("parity".to_owned(), (number % 2).to_string())].into(),
        },
        dense: None,
        sparse: [("bm25".to_owned(), sparse(bm25))].into(),
    }
}

/// A store with its life.
pub struct Opened {
    pub store: Arc<dyn VectorStore>,
    pub life: Lifecycle,
    // Kept until the end of the test.
    _directory: Option<tempfile::TempDir>,
}

pub async fn open(uri: &str) -> Opened {
    let life = Lifecycle::new();
    let metrics = Metrics::new(&touchstone_telemetry::Metrics::new());
    let pool = CpuPool::new(2, 1024).unwrap();
    let clock = Arc::new(FrozenClock::default());
    let store = EmbeddedStore::open(uri, 1 << 20, pool, &life, clock, metrics)
        .await
        .unwrap();
    life.ready().await;
    Opened {
        store: Arc::new(store),
        life,
        _directory: None,
    }
}

pub fn uri(directory: &Path) -> String {
    format!("sqlite://{}/vector.db", directory.display())
}

pub async fn sqlite_file() -> Option<Opened> {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(&uri(directory.path())).await;
    Some(Opened {
        _directory: Some(directory),
        ..opened
    })
}

pub async fn sqlite_memory() -> Option<Opened> {
    Some(open("sqlite::memory:").await)
}

/// A part of a Qdrant server that no other test sees.
pub async fn qdrant() -> Option<Opened> {
    let server = touchstone_test_services::qdrant().await?;
    let opened = open_qdrant(server.url(), qdrant_options());
    opened.life.ready().await;
    Some(opened)
}

/// How the tests use Qdrant, with a prefix of its own for each call.
pub fn qdrant_options() -> QdrantOptions {
    QdrantOptions {
        api_key: touchstone_config::Secret::default(),
        prefix: format!("test-{}-", IdSource::system().next::<Uuid>()),
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_mins(1),
        write_timeout: Duration::from_mins(1),
        exact: true,
        replication_factor: 1,
    }
}

pub fn open_qdrant(url: &str, options: QdrantOptions) -> Opened {
    let life = Lifecycle::new();
    let metrics = Metrics::new(&touchstone_telemetry::Metrics::new());
    let store = QdrantStore::open(url, options, &life, metrics).unwrap();
    Opened {
        store: Arc::new(store),
        life,
        _directory: None,
    }
}

impl Opened {
    /// Leaves nothing on a server that outlives the test.
    pub async fn tidy_up(&self) {
        for (name, _) in self.store.definitions().await.unwrap() {
            self.store.remove(&name).await.unwrap();
        }
    }
}

/// The whole service in memory.
pub struct App {
    pub router: Router,
    pub identity: TestIdentity,
    pub life: Lifecycle,
}

impl App {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(edit: impl FnOnce(&mut Config)) -> Self {
        let app = Self::start_unready(edit).await;
        app.life.ready().await;
        app
    }

    pub async fn start_unready(edit: impl FnOnce(&mut Config)) -> Self {
        let (identity, life) = (TestIdentity::new(), Lifecycle::new());
        let mut config: Config = touchstone_config::defaults();
        config.store.replace_range(.., "sqlite::memory:");
        config.threads = 2;
        edit(&mut config);
        let deps = Deps::resolve(identity.common(), &config);
        let router = touchstone_vector::build(config, deps, &life).await.unwrap();
        Self {
            router,
            identity,
            life,
        }
    }

    /// Somebody of a tenant.
    pub fn user(&self, number: u128, role: Role) -> TestClient {
        let caller = self.identity.caller_of(tenant(number), role);
        TestClient::new(self.router.clone(), self.identity.bearer(&caller))
    }

    /// A service at its own work.
    pub fn service(&self) -> TestClient {
        let caller = self.identity.service(tenant(1));
        TestClient::new(self.router.clone(), self.identity.bearer(&caller))
    }

    /// The collection of chunks.
    pub async fn with_chunks(self) -> Self {
        let body = serde_json::json!({
            "dense": {"model": MODEL, "dimension": DIMENSION}, "sparse": ["bm25", "chars"]
        });
        let made = self
            .service()
            .json(http::Method::PUT, "/collections/chunks", &body)
            .await;
        assert_eq!(made.status, 200, "{}", made.text());
        self
    }
}
