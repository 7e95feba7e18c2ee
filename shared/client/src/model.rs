use http::Method;
use touchstone_api::model::{
    EmbedRequest, EmbedResponse, Model, ModelList, RerankRequest, RerankResponse,
};
use touchstone_identity::Caller;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls model. Ids are names from the configuration: letters, digits, `-`, `_`, `.`.
#[derive(Clone, Debug)]
pub struct ModelClient(ServiceClient);

impl ModelClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "model"))
    }

    /// `GET /models`.
    pub async fn list(&self, caller: &Caller) -> Result<ModelList, ClientError> {
        self.0
            .call(caller, Method::GET, "/models", None::<&()>)
            .await
    }

    /// `POST /models/{id}/load`.
    pub async fn load(&self, caller: &Caller, id: &str) -> Result<Model, ClientError> {
        self.0
            .call(
                caller,
                Method::POST,
                &format!("/models/{id}/load"),
                None::<&()>,
            )
            .await
    }

    /// `POST /models/{id}/embed`.
    pub async fn embed(
        &self,
        caller: &Caller,
        id: &str,
        request: &EmbedRequest,
    ) -> Result<EmbedResponse, ClientError> {
        let path = format!("/models/{id}/embed");
        self.0.read(caller, &path, request).await
    }

    /// `POST /models/{id}/rerank`.
    pub async fn rerank(
        &self,
        caller: &Caller,
        id: &str,
        request: &RerankRequest,
    ) -> Result<RerankResponse, ClientError> {
        let path = format!("/models/{id}/rerank");
        self.0.read(caller, &path, request).await
    }
}
