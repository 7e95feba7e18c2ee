use http::Method;
use touchstone_api::document::{
    AcceptedDocument, CreateDocumentRequest, Document, PassagesRequest, PassagesResponse,
};
use touchstone_identity::Caller;
use touchstone_types::DocumentId;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls document.
#[derive(Clone, Debug)]
pub struct DocumentClient(ServiceClient);

impl DocumentClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "document"))
    }

    /// `POST /documents`.
    pub async fn create(
        &self,
        caller: &Caller,
        request: &CreateDocumentRequest,
    ) -> Result<AcceptedDocument, ClientError> {
        self.0
            .call(caller, Method::POST, "/documents", Some(request))
            .await
    }

    /// As [`DocumentClient::create`]; the same key gives the first answer.
    pub async fn create_once(
        &self,
        caller: &Caller,
        request: &CreateDocumentRequest,
        key: &str,
    ) -> Result<AcceptedDocument, ClientError> {
        self.0
            .call_once(caller, Method::POST, "/documents", request, key)
            .await
    }

    /// `PUT /documents/{id}`; the same key gives the first answer.
    pub async fn replace_once(
        &self,
        caller: &Caller,
        id: DocumentId,
        request: &CreateDocumentRequest,
        key: &str,
    ) -> Result<AcceptedDocument, ClientError> {
        let path = format!("/documents/{id}");
        self.0
            .call_once(caller, Method::PUT, &path, request, key)
            .await
    }

    /// `GET /documents/{id}`.
    pub async fn get(&self, caller: &Caller, id: DocumentId) -> Result<Document, ClientError> {
        self.0
            .call(
                caller,
                Method::GET,
                &format!("/documents/{id}"),
                None::<&()>,
            )
            .await
    }

    /// `DELETE /documents/{id}`.
    pub async fn delete(&self, caller: &Caller, id: DocumentId) -> Result<(), ClientError> {
        self.0
            .call(
                caller,
                Method::DELETE,
                &format!("/documents/{id}"),
                None::<&()>,
            )
            .await
    }

    /// `POST /documents/passages`.
    pub async fn passages(
        &self,
        caller: &Caller,
        request: &PassagesRequest,
    ) -> Result<PassagesResponse, ClientError> {
        self.0.search(caller, "/documents/passages", request).await
    }
}
