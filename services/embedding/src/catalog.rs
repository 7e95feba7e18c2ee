//! What the model service knows, asked now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use touchstone_api::model::{Model, ModelTask};
use touchstone_client::{ClientError, ModelClient};
use touchstone_identity::Caller;

use crate::error::Error;

/// A list this young is not asked for again because a name is missing in it.
const YOUNG: Duration = Duration::from_millis(250);

/// The list of models with its age.
#[derive(Debug)]
pub struct Catalog {
    client: ModelClient,
    ttl: Duration,
    /// Locked while asking, so that many requests ask once.
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    models: Arc<[Model]>,
    asked: Instant,
}

impl Catalog {
    /// Believes the list for `ttl`.
    pub fn new(client: ModelClient, ttl: Duration) -> Self {
        Self {
            client,
            ttl,
            known: Mutex::new(None),
        }
    }

    /// The models, from a list no older than `age`; an older one when the service is away.
    async fn models(&self, caller: &Caller, age: Duration) -> Result<Arc<[Model]>, ClientError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.asked.elapsed() < age) {
            return Ok(Arc::clone(&known.models));
        }
        match self.client.list(caller).await {
            Ok(list) => {
                let models: Arc<[Model]> = list.items.into();
                *known = Some(Known {
                    models: Arc::clone(&models),
                    asked: Instant::now(),
                });
                Ok(models)
            }
            Err(error) => known
                .as_ref()
                .map(|known| Arc::clone(&known.models))
                .ok_or(error),
        }
    }

    /// The active embedder.
    pub async fn active(&self, caller: &Caller) -> Result<Option<Model>, ClientError> {
        let models = self.models(caller, self.ttl).await?;
        Ok(models.iter().find(|model| model.active).cloned())
    }

    /// The embedder of this name.
    pub async fn embedder(&self, caller: &Caller, id: &str) -> Result<Model, Error> {
        for age in [self.ttl, YOUNG.min(self.ttl)] {
            let models = self.models(caller, age).await.map_err(Error::Model)?;
            if let Some(model) = models.iter().find(|model| model.id == id) {
                return match model.task {
                    ModelTask::Embed => Ok(model.clone()),
                    ModelTask::Rerank => Err(Error::NotAnEmbedder(id.to_owned())),
                };
            }
        }
        let models = self.models(caller, self.ttl).await.map_err(Error::Model)?;
        if models.iter().any(|model| model.task == ModelTask::Embed) {
            Err(Error::UnknownModel(id.to_owned()))
        } else {
            Err(Error::NoModels(id.to_owned()))
        }
    }
}
