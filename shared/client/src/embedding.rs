use touchstone_api::embedding::{EmbeddingRequest, EmbeddingResponse};
use touchstone_identity::Caller;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls embedding.
#[derive(Clone, Debug)]
pub struct EmbeddingClient(ServiceClient);

impl EmbeddingClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "embedding"))
    }

    /// `POST /embeddings`.
    pub async fn embed(
        &self,
        caller: &Caller,
        request: &EmbeddingRequest,
    ) -> Result<EmbeddingResponse, ClientError> {
        self.0.read(caller, "/embeddings", request).await
    }
}
