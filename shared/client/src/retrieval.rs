use touchstone_api::retrieval::{SearchRequest, SearchResponse};
use touchstone_identity::Caller;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls retrieval.
#[derive(Clone, Debug)]
pub struct RetrievalClient(ServiceClient);

impl RetrievalClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "retrieval"))
    }

    /// `POST /search`.
    pub async fn search(
        &self,
        caller: &Caller,
        request: &SearchRequest,
    ) -> Result<SearchResponse, ClientError> {
        self.0.search(caller, "/search", request).await
    }
}
