use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use touchstone_api::document::{Passage, PassagesRequest, PassagesResponse};
use touchstone_api::embedding::{Embedding, EmbeddingRequest, EmbeddingResponse, Usage};
use touchstone_api::retrieval::{SearchRequest, SearchResponse};
use touchstone_api::vector::{Payload, QueryRequest, QueryResponse, QueryVector, ScoredPoint};
use touchstone_error::ErrorKind;
use touchstone_lifecycle::Lifecycle;
use touchstone_retrieval::{Config, Deps, build};
use touchstone_testing::{Answer, TestClient, TestIdentity};
use touchstone_text::{Language, detect, terms};
use touchstone_types::{ChunkId, DocumentId, Source, SparseVector};
use touchstone_web::{AppJson, Problem};
use uuid::Uuid;

/// What the fake embedding service says of dense vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dense {
    Off,
    Model(&'static str),
    Failing,
}

/// A chunk of the fake corpus; its document's text is its own text.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub document: u128,
    pub text: String,
}

pub fn chunk(document: u128, text: &str) -> Chunk {
    Chunk {
        document,
        text: text.to_owned(),
    }
}

#[derive(Clone)]
pub struct Neighbours {
    pub dense: Dense,
    pub points: Arc<Vec<(ChunkId, Payload)>>,
    pub documents: Arc<HashMap<DocumentId, String>>,
    pub queries: Arc<Mutex<Vec<QueryRequest>>>,
    /// The collection exists.
    pub collection: bool,
    /// The document service answers.
    pub document: bool,
}

/// The service among its neighbours.
pub struct Bed {
    pub client: TestClient,
    pub identity: TestIdentity,
    pub neighbours: Neighbours,
}

pub fn corpus() -> Vec<Chunk> {
    vec![
        chunk(
            1,
            "The Nile flows north through eleven countries. It is 6,650 km long.",
        ),
        chunk(
            1,
            "Boats on the river carry grain and stone to the delta in the north.",
        ),
        chunk(2, "Нил течёт на север. Его длина 6650 километров."),
        chunk(2, "Дельта реки очень плодородна, там выращивают пшеницу."),
        chunk(
            3,
            "Bread is baked from flour, water and salt in a hot oven.",
        ),
        chunk(3, "A river of people filled the square on market day."),
    ]
}

impl Neighbours {
    pub fn new(dense: Dense, corpus: &[Chunk]) -> Self {
        let mut documents: HashMap<DocumentId, String> = HashMap::new();
        let mut points = Vec::new();
        for (at, chunk) in corpus.iter().enumerate() {
            let document_id = DocumentId::from_uuid(Uuid::from_u128(chunk.document));
            let text = documents.entry(document_id).or_default();
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let start = text.len();
            text.push_str(&chunk.text);
            let payload = Payload {
                document_id,
                version: 1,
                ordinal: at as u32,
                start,
                end: text.len(),
                text: chunk.text.clone(),
                title: format!("Document {}", chunk.document),
                heading: None,
                language: detect(&chunk.text).code().to_owned(),
                source: Source::Upload,
                created_at: "2025-12-01T00:00:00Z".parse().unwrap(),
                metadata: BTreeMap::new(),
            };
            let mut hasher = DefaultHasher::new();
            (at, &chunk.text).hash(&mut hasher);
            points.push((
                ChunkId::from_uuid(Uuid::from_u64_pair(hasher.finish(), 0)),
                payload,
            ));
        }
        Self {
            dense,
            points: Arc::new(points),
            documents: Arc::new(documents),
            queries: Arc::default(),
            collection: true,
            document: true,
        }
    }

    pub async fn start(self) -> Bed {
        self.start_with(touchstone_config::defaults()).await
    }

    pub async fn start_with(self, config: Config) -> Bed {
        let identity = TestIdentity::new();
        identity.mount(
            "embedding",
            Router::new()
                .route("/embeddings", post(embed))
                .with_state(self.clone()),
        );
        identity.mount(
            "vector",
            Router::new()
                .route("/collections/chunks/query", post(query))
                .with_state(self.clone()),
        );
        if self.document {
            identity.mount(
                "document",
                Router::new()
                    .route("/documents/passages", post(passages))
                    .with_state(self.clone()),
            );
        }
        let deps = Deps::resolve(identity.common(), &config);
        let router = match build(config, deps, &Lifecycle::new()).await {
            Ok(router) => router,
            Err(never) => match never {},
        };
        let client = TestClient::new(router, identity.bearer(&identity.caller()));
        Bed {
            client,
            identity,
            neighbours: self,
        }
    }
}

impl Bed {
    pub async fn post(&self, request: &SearchRequest) -> Answer {
        self.client.post("/search", request).await
    }

    pub async fn search(&self, request: &SearchRequest) -> SearchResponse {
        let answer = self.post(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

pub fn ask(query: &str) -> SearchRequest {
    SearchRequest {
        query: query.to_owned(),
        ..SearchRequest::default()
    }
}

fn index(term: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    term.hash(&mut hasher);
    hasher.finish() as u32
}

fn sparse(text: &str) -> SparseVector {
    let mut vector = terms(text, detect(text))
        .iter()
        .map(|term| (index(term), 1.0))
        .collect::<Vec<_>>();
    vector.sort_by_key(|pair| pair.0);
    vector.dedup();
    SparseVector::from_pairs(vector)
}

fn dense(text: &str) -> Vec<f32> {
    let mut vector = [0.1_f32; 8];
    for term in terms(text, Language::En) {
        vector[index(&term) as usize % 8] += 1.0;
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

async fn embed(
    State(neighbours): State<Neighbours>,
    AppJson(request): AppJson<EmbeddingRequest>,
) -> Result<AppJson<EmbeddingResponse>, Problem> {
    let model = match neighbours.dense {
        Dense::Failing if !request.sparse_only => {
            return Err(Problem::new(
                ErrorKind::Unavailable,
                "embedding.model_failed",
                "away",
            ));
        }
        Dense::Model(model) if !request.sparse_only => Some(model.to_owned()),
        _ => None,
    };
    let items = request
        .input
        .iter()
        .map(|text| Embedding {
            dense: model.is_some().then(|| dense(text)),
            sparse: BTreeMap::from([("bm25".to_owned(), sparse(text))]),
            language: detect(text).code().to_owned(),
        })
        .collect();
    let usage = Usage::default();
    Ok(AppJson(EmbeddingResponse {
        dimension: model.as_ref().map(|_| 8),
        model,
        items,
        usage,
    }))
}

async fn query(
    State(neighbours): State<Neighbours>,
    AppJson(request): AppJson<QueryRequest>,
) -> Result<AppJson<QueryResponse>, Problem> {
    neighbours.queries.lock().unwrap().push(request.clone());
    if !neighbours.collection {
        return Err(Problem::new(
            ErrorKind::NotFound,
            "vector.unknown_collection",
            "none",
        ));
    }
    let score = |query: &QueryVector, payload: &Payload| -> f32 {
        match query {
            QueryVector::Dense(vector) => vector
                .iter()
                .zip(dense(&payload.text))
                .map(|(a, b)| a * b)
                .sum(),
            QueryVector::Sparse(named) => {
                let known = sparse(&payload.text);
                named
                    .vector
                    .iter()
                    .filter(|(i, _)| known.indices.contains(i))
                    .map(|(_, v)| v)
                    .sum()
            }
        }
    };
    let wanted = |payload: &Payload| {
        request
            .filter
            .languages
            .as_ref()
            .is_none_or(|list| list.contains(&payload.language))
    };
    let mut results: Vec<Vec<ScoredPoint>> = request
        .queries
        .iter()
        .map(|query| {
            let mut list: Vec<ScoredPoint> = neighbours
                .points
                .iter()
                .filter(|(_, payload)| wanted(payload))
                .map(|(id, payload)| ScoredPoint {
                    id: *id,
                    score: score(query, payload),
                })
                .filter(|point| point.score > 0.0)
                .collect();
            list.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
            list.truncate(request.limit);
            list
        })
        .collect();
    let payloads: BTreeMap<ChunkId, Payload> = neighbours
        .points
        .iter()
        .filter(|(id, _)| results.iter().flatten().any(|point| point.id == *id))
        .cloned()
        .collect();
    for (query, list) in request.queries.iter().zip(&mut results) {
        for (id, payload) in &payloads {
            if list.iter().all(|point| point.id != *id) {
                list.push(ScoredPoint {
                    id: *id,
                    score: score(query, payload),
                });
            }
        }
    }
    Ok(AppJson(QueryResponse { results, payloads }))
}

async fn passages(
    State(neighbours): State<Neighbours>,
    AppJson(request): AppJson<PassagesRequest>,
) -> AppJson<PassagesResponse> {
    let passages = request
        .spans
        .iter()
        .map(|span| {
            let text = neighbours.documents.get(&span.document_id)?;
            let room = request.grow_to.saturating_sub(span.end - span.start);
            let start = text.floor_char_boundary(span.start.saturating_sub(room / 2));
            let end = text.floor_char_boundary((span.end + room / 2).min(text.len()));
            Some(Passage {
                document_id: span.document_id,
                title: String::new(),
                start,
                end,
                text: text[start..end].to_owned(),
            })
        })
        .collect();
    AppJson(PassagesResponse { passages })
}
