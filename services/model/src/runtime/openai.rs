//! Embeddings of any OpenAI-compatible server.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use touchstone_api::embedding::EmbeddingKind;
use touchstone_config::Secret;

use super::{Budget, ComputeError, Embedded, Prefixes, normalize};

/// Largest answer that is read.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;
/// Longest vector that is believed.
const DIMENSION_LIMIT: usize = 65_536;

/// What the server is asked with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base URL, with `/v1` where the server wants it.
    pub url: String,
    /// Bearer key; empty for none.
    pub key: Secret,
    /// The model's name there.
    pub model: String,
    /// Length of its vectors; asked of the server when `None`.
    pub dimension: Option<usize>,
    /// Most time for one call.
    pub timeout: Duration,
    /// Put before texts.
    pub prefixes: Prefixes,
}

/// A server whose dimension is known.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
    dimension: usize,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: usize,
}

impl Client {
    /// Gets ready; asks the server for one vector when the dimension is not configured.
    pub async fn connect(settings: Settings) -> Result<Self, ComputeError> {
        let http = reqwest::Client::builder()
            .connect_timeout(settings.timeout.min(Duration::from_secs(10)))
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ComputeError::Unreachable)?;
        let mut client = Self {
            http,
            dimension: settings.dimension.unwrap_or(0),
            settings,
        };
        if client.settings.dimension.is_none() {
            let trial = ["dimension".to_owned()];
            let (vectors, _) = client.call(&trial, &Budget::default()).await?;
            client.dimension = vectors.first().map_or(0, Vec::len);
        }
        if client.dimension == 0 || client.dimension > DIMENSION_LIMIT {
            let length = client.dimension;
            return Err(ComputeError::BadAnswer(format!(
                "a vector of {length} numbers"
            )));
        }
        Ok(client)
    }

    /// Length of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Embeds texts in one call.
    pub async fn embed(
        &self,
        texts: &[String],
        kind: EmbeddingKind,
        budget: &Budget,
    ) -> Result<Embedded, ComputeError> {
        let prefix = self.settings.prefixes.of(kind);
        let prefixed: Vec<String>;
        let input = if prefix.is_empty() {
            texts
        } else {
            prefixed = texts.iter().map(|text| format!("{prefix}{text}")).collect();
            &prefixed
        };
        let (mut vectors, tokens) = self.call(input, budget).await?;
        for vector in &mut vectors {
            if vector.len() != self.dimension {
                return Err(ComputeError::BadAnswer(format!(
                    "a vector of {} numbers, expected {}",
                    vector.len(),
                    self.dimension
                )));
            }
            normalize(vector)?;
        }
        Ok(Embedded { vectors, tokens })
    }

    async fn call(
        &self,
        input: &[String],
        budget: &Budget,
    ) -> Result<(Vec<Vec<f32>>, usize), ComputeError> {
        budget.check()?;
        let url = format!("{}/embeddings", self.settings.url.trim_end_matches('/'));
        let body = Request {
            model: &self.settings.model,
            input,
            encoding_format: "float",
        };
        let mut request = self.http.post(url).json(&body);
        if !self.settings.key.is_empty() {
            request = request.bearer_auth(self.settings.key.expose());
        }
        if let Some(deadline) = budget.deadline() {
            let left = deadline.saturating_duration_since(Instant::now());
            request = request.timeout(left.min(self.settings.timeout));
        }
        let failed = |error: reqwest::Error| {
            if error.is_timeout() && budget.check().is_err() {
                ComputeError::Deadline
            } else {
                // The URL may carry credentials.
                ComputeError::Unreachable(error.without_url())
            }
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = response
                .headers()
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            return Err(ComputeError::Refused {
                status: status.as_u16(),
                retry_after,
            });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > ANSWER_LIMIT_BYTES {
                return Err(ComputeError::BadAnswer("larger than 64 MiB".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| ComputeError::BadAnswer("not a list of embeddings".to_owned()))?;
        let tokens = answer.usage.map_or(0, |usage| usage.prompt_tokens);
        Ok((in_order(answer.data, input.len())?, tokens))
    }
}

/// Puts the vectors into the order of the inputs.
fn in_order(items: Vec<Item>, expected: usize) -> Result<Vec<Vec<f32>>, ComputeError> {
    let count = items.len();
    let wrong = || ComputeError::BadAnswer(format!("{count} vectors for {expected} texts"));
    if count != expected {
        return Err(wrong());
    }
    let mut ordered: Vec<Option<Vec<f32>>> = vec![None; expected];
    for (position, item) in items.into_iter().enumerate() {
        let place = ordered
            .get_mut(item.index.unwrap_or(position))
            .ok_or_else(wrong)?;
        *place = Some(item.embedding);
    }
    ordered.into_iter().collect::<Option<_>>().ok_or_else(wrong)
}

impl Prefixes {
    /// The prefix of a kind of text.
    pub fn of(&self, kind: EmbeddingKind) -> &str {
        match kind {
            EmbeddingKind::Query => &self.query,
            EmbeddingKind::Passage => &self.passage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(index: Option<usize>, value: f32) -> Item {
        Item {
            index,
            embedding: vec![value],
        }
    }

    #[test]
    fn orders_by_index_and_refuses_gaps() {
        let swapped = vec![item(Some(1), 1.0), item(Some(0), 0.0)];
        assert_eq!(in_order(swapped, 2).unwrap(), [[0.0], [1.0]]);
        assert_eq!(in_order(vec![item(None, 5.0)], 1).unwrap(), [[5.0]]);
        assert!(in_order(vec![item(Some(0), 1.0), item(Some(0), 2.0)], 2).is_err());
        assert!(in_order(vec![item(Some(7), 1.0)], 1).is_err());
        assert!(in_order(Vec::new(), 1).is_err());
    }
}
