use futures_util::{Stream, StreamExt};
use http::Method;
use serde_json::json;
use touchstone_api::generation::{AskEvent, AskRequest, AskResponse};
use touchstone_identity::Caller;

use crate::sse::{self, ServerSentEvent};
use crate::{ClientError, Mesh, ServiceClient};

/// Calls generation.
#[derive(Clone, Debug)]
pub struct GenerationClient(ServiceClient);

impl GenerationClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "generation"))
    }

    /// `POST /ask`, answered as a whole.
    pub async fn ask(
        &self,
        caller: &Caller,
        request: &AskRequest,
    ) -> Result<AskResponse, ClientError> {
        let request = AskRequest {
            stream: false,
            ..request.clone()
        };
        self.0
            .call(caller, Method::POST, "/ask", Some(&request))
            .await
    }

    /// `POST /ask`, answered as a stream of events; dropping it cancels the answer.
    pub async fn ask_stream(
        &self,
        caller: &Caller,
        request: &AskRequest,
    ) -> Result<impl Stream<Item = Result<AskEvent, ClientError>> + Send + use<>, ClientError> {
        let request = AskRequest {
            stream: true,
            ..request.clone()
        };
        let response = self
            .0
            .open(caller, Method::POST, "/ask", Some(&request))
            .await?;
        let service = self.0.service();
        let events = sse::events(response.into_body().into_data_stream());
        Ok(events.map(move |event| match event {
            Ok(event) => decode_ask_event(&event).map_err(|reason| ClientError::Undecodable {
                service,
                reason: reason.to_string(),
            }),
            Err(error) => Err(ClientError::BrokenOff {
                service,
                reason: error.to_string(),
            }),
        }))
    }
}

/// Reads an event of a streamed answer.
pub fn decode_ask_event(event: &ServerSentEvent) -> Result<AskEvent, serde_json::Error> {
    let data: serde_json::Value = serde_json::from_str(&event.data)?;
    serde_json::from_value(json!({ "event": event.event, "data": data }))
}
