//! A model service that does what it is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use touchstone_api::model::{
    EmbedRequest, EmbedResponse, Model, ModelList, ModelRuntime, ModelStatus, ModelTask,
};
use touchstone_embedding::{Config, Deps, build};
use touchstone_error::ErrorKind;
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_web::{AppJson, AppPath, Problem};

/// What the fake saw and what it shall do.
#[derive(Clone)]
pub struct Fake {
    pub calls: Arc<Mutex<Vec<EmbedRequest>>>,
    /// Each call takes one and keeps it.
    pub permits: Arc<Semaphore>,
    models: Arc<[Model]>,
}

pub fn model(id: &str, task: ModelTask, active: bool) -> Model {
    Model {
        id: id.to_owned(),
        task,
        runtime: ModelRuntime::Candle,
        source: "folder".to_owned(),
        status: ModelStatus::Loaded,
        error: None,
        dimension: Some(2),
        max_tokens: Some(256),
        memory_bytes: 1,
        active,
        lexical: false,
    }
}

impl Fake {
    pub fn new(models: Vec<Model>) -> Self {
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self {
            calls: Arc::default(),
            permits,
            models: models.into(),
        }
    }

    pub fn texts_of_calls(&self) -> Vec<usize> {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .map(|call| call.input.len())
            .collect()
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/models", get(list))
            .route("/models/{id}/embed", post(embed))
            .with_state(self.clone())
    }
}

async fn list(State(fake): State<Fake>) -> AppJson<ModelList> {
    AppJson(ModelList {
        items: fake.models.to_vec(),
    })
}

/// The vector of a text is its length and 1; "poison" fails the whole call.
async fn embed(
    State(fake): State<Fake>,
    AppPath(model): AppPath<String>,
    AppJson(request): AppJson<EmbedRequest>,
) -> Result<AppJson<EmbedResponse>, Problem> {
    fake.calls.lock().unwrap().push(request.clone());
    fake.permits.acquire().await.unwrap().forget();
    if request.input.iter().any(|text| text == "poison") {
        return Err(Problem::new(
            ErrorKind::Internal,
            "model.compute_failed",
            "poison",
        ));
    }
    if request.input.iter().any(|text| text == "down") {
        return Err(Problem::new(
            ErrorKind::Unavailable,
            "model.overloaded",
            "busy",
        ));
    }
    let vectors = request
        .input
        .iter()
        .map(|text| vec![text.len() as f32, 1.0])
        .collect();
    Ok(AppJson(EmbedResponse {
        model,
        dimension: 2,
        vectors,
        tokens: request.input.len(),
    }))
}

pub struct App {
    pub client: TestClient,
    pub identity: TestIdentity,
    pub life: Lifecycle,
    pub router: Router,
}

/// The service in front of `fake`; without one the model service is away.
pub async fn app(fake: Option<&Fake>) -> App {
    app_with(fake, touchstone_config::defaults()).await
}

pub async fn app_with(fake: Option<&Fake>, config: Config) -> App {
    let identity = TestIdentity::new();
    if let Some(fake) = fake {
        identity.mount("model", fake.router());
    }
    let life = Lifecycle::new();
    let deps = Deps::resolve(&identity.common(), &config);
    let Ok(router) = build(config, deps, &life).await;
    let client = TestClient::new(router.clone(), identity.bearer(&identity.caller()));
    App {
        client,
        identity,
        life,
        router,
    }
}
