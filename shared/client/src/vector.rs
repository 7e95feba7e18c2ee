use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use touchstone_api::vector::{
    Collection, CollectionList, CountResponse, CreateCollectionRequest, Filter, FilterRequest,
    QueryRequest, QueryResponse, ScrollRequest, ScrollResponse, UpsertRequest, UpsertResponse,
};
use touchstone_identity::Caller;

use crate::{ClientError, Mesh, ServiceClient};

/// Calls vector. Collection names are letters, digits, `-` and `_`.
#[derive(Clone, Debug)]
pub struct VectorClient(ServiceClient);

impl VectorClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "vector"))
    }

    /// `GET /collections`.
    pub async fn collections(&self, caller: &Caller) -> Result<CollectionList, ClientError> {
        self.0
            .call(caller, Method::GET, "/collections", None::<&()>)
            .await
    }

    /// `PUT /collections/{name}`.
    pub async fn create(
        &self,
        caller: &Caller,
        collection: &str,
        request: &CreateCollectionRequest,
    ) -> Result<Collection, ClientError> {
        self.0
            .call(
                caller,
                Method::PUT,
                &format!("/collections/{collection}"),
                Some(request),
            )
            .await
    }

    /// `DELETE /collections/{name}`.
    pub async fn drop_collection(
        &self,
        caller: &Caller,
        collection: &str,
    ) -> Result<(), ClientError> {
        self.0
            .call(
                caller,
                Method::DELETE,
                &format!("/collections/{collection}"),
                None::<&()>,
            )
            .await
    }

    /// `POST /collections/{name}/points`.
    pub async fn upsert(
        &self,
        caller: &Caller,
        collection: &str,
        request: &UpsertRequest,
    ) -> Result<UpsertResponse, ClientError> {
        self.post(caller, collection, "points", request).await
    }

    /// `POST /collections/{name}/points/delete`.
    pub async fn delete(
        &self,
        caller: &Caller,
        collection: &str,
        filter: Filter,
    ) -> Result<CountResponse, ClientError> {
        self.post(
            caller,
            collection,
            "points/delete",
            &FilterRequest { filter },
        )
        .await
    }

    /// `POST /collections/{name}/query`.
    pub async fn query(
        &self,
        caller: &Caller,
        collection: &str,
        request: &QueryRequest,
    ) -> Result<QueryResponse, ClientError> {
        let path = format!("/collections/{collection}/query");
        self.0.search(caller, &path, request).await
    }

    /// `POST /collections/{name}/scroll`.
    pub async fn scroll(
        &self,
        caller: &Caller,
        collection: &str,
        request: &ScrollRequest,
    ) -> Result<ScrollResponse, ClientError> {
        self.read(caller, collection, "scroll", request).await
    }

    /// `POST /collections/{name}/count`.
    pub async fn count(
        &self,
        caller: &Caller,
        collection: &str,
        filter: Filter,
    ) -> Result<CountResponse, ClientError> {
        self.read(caller, collection, "count", &FilterRequest { filter })
            .await
    }

    async fn read<Req: Serialize + Sync, Resp: DeserializeOwned>(
        &self,
        caller: &Caller,
        collection: &str,
        operation: &str,
        request: &Req,
    ) -> Result<Resp, ClientError> {
        let path = format!("/collections/{collection}/{operation}");
        self.0.read(caller, &path, request).await
    }

    async fn post<Req: Serialize + Sync, Resp: DeserializeOwned>(
        &self,
        caller: &Caller,
        collection: &str,
        operation: &str,
        request: &Req,
    ) -> Result<Resp, ClientError> {
        let path = format!("/collections/{collection}/{operation}");
        self.0
            .call(caller, Method::POST, &path, Some(request))
            .await
    }
}
