use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use touchstone_api::Problem;
use touchstone_api::headers::{IDEMPOTENCY_KEY, REQUEST_ID, TRACEPARENT};
use touchstone_error::ErrorKind;
use touchstone_faults::CalledBy;
use touchstone_identity::{Caller, RequestContext};
use touchstone_resilience::layers::{Deadline, Hedgeable, Repeatable};
use touchstone_resilience::{Class, Rejected};
use tower::Service;

use crate::{ClientError, Mesh, TransportError};

/// Largest answer that is read into memory.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A client of one service, on behalf of another; the typed clients are made of it.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    mesh: Mesh,
    /// Who calls.
    from: &'static str,
    /// Who is called.
    to: &'static str,
}

impl ServiceClient {
    /// A client with which `from` calls `to`.
    pub fn new(mesh: Mesh, from: &'static str, to: &'static str) -> Self {
        Self { mesh, from, to }
    }

    /// Sends JSON and reads JSON.
    pub async fn call<Req, Resp>(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Resp, ClientError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let request = self.request(Some(caller), &caller.context, method, path, body)?;
        self.exchange(&caller.context, request).await
    }

    /// As [`ServiceClient::call`] with `POST`, for what only reads: it may be repeated.
    pub async fn read<Req, Resp>(
        &self,
        caller: &Caller,
        path: &str,
        body: &Req,
    ) -> Result<Resp, ClientError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let request = self.reading(caller, path, body)?;
        self.exchange(&caller.context, request).await
    }

    /// As [`ServiceClient::read`], for what somebody waits for: a second attempt is made when it is
    /// later than 95 % of its kind.
    pub async fn search<Req, Resp>(
        &self,
        caller: &Caller,
        path: &str,
        body: &Req,
    ) -> Result<Resp, ClientError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let mut request = self.reading(caller, path, body)?;
        request.extensions_mut().insert(Hedgeable);
        self.exchange(&caller.context, request).await
    }

    /// As [`ServiceClient::call`] with an `Idempotency-Key`: it may be repeated.
    pub async fn call_once<Req, Resp>(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: &Req,
        key: &str,
    ) -> Result<Resp, ClientError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let mut request = self.request(Some(caller), &caller.context, method, path, Some(body))?;
        let key = HeaderValue::from_str(key).map_err(|error| ClientError::Undecodable {
            service: self.to,
            reason: error.to_string(),
        })?;
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        request.extensions_mut().insert(Repeatable);
        self.exchange(&caller.context, request).await
    }

    /// As [`ServiceClient::call`], for the routes that know no caller.
    pub async fn call_anonymously<Req, Resp>(
        &self,
        context: &RequestContext,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Resp, ClientError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let mut request = self.request(None, context, method, path, body)?;
        // Tokens and keys: nothing else works without them. They only read.
        request.extensions_mut().insert(Class::Critical);
        request.extensions_mut().insert(Repeatable);
        self.exchange(context, request).await
    }

    /// Sends JSON and returns the response with its body still to come; problems are errors. The
    /// deadline bounds the wait for the head only: a stream bounds itself.
    pub async fn open<Req>(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Response<Body>, ClientError>
    where
        Req: Serialize + Sync,
    {
        let mut request = self.request(Some(caller), &caller.context, method, path, body)?;
        request.extensions_mut().insert(Class::Stream);
        let work = async {
            let response = self.send(request).await?;
            if response.status().is_success() {
                Ok(response)
            } else {
                Err(self.refusal(response).await)
            }
        };
        self.in_time(&caller.context, work).await
    }

    /// Name of the service that is called.
    pub const fn service(&self) -> &'static str {
        self.to
    }

    /// A `POST` that only reads.
    fn reading(
        &self,
        caller: &Caller,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Request<Body>, ClientError> {
        let (context, body) = (&caller.context, Some(body));
        let mut request = self.request(Some(caller), context, Method::POST, path, body)?;
        request.extensions_mut().insert(Repeatable);
        Ok(request)
    }

    fn request<Req: Serialize>(
        &self,
        caller: Option<&Caller>,
        context: &RequestContext,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Request<Body>, ClientError> {
        let undecodable = |reason: String| ClientError::Undecodable {
            service: self.to,
            reason,
        };
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "*/*");
        if let Some(caller) = caller {
            let now = self.mesh.clock().now();
            let token = self.mesh.service_key().mint(self.from, caller, now);
            let token = token.map_err(|error| undecodable(error.to_string()))?;
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        builder = builder.header(REQUEST_ID, &*context.request_id);
        if let Some(trace) = &context.traceparent {
            builder = builder.header(TRACEPARENT, &**trace);
        }
        let deadline = match context.deadline {
            Some(deadline) => deadline.into(),
            None => tokio::time::Instant::now() + self.mesh.protection().deadline,
        };
        // The layers tell the service what is left of it.
        builder = builder
            .extension(Deadline(deadline))
            .extension(class_of(caller));
        if self.mesh.suffers() {
            builder = builder.extension(CalledBy(self.from));
        }
        let body = match body {
            Some(body) => {
                builder =
                    builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Body::from(
                    serde_json::to_vec(body).map_err(|error| undecodable(error.to_string()))?,
                )
            }
            None => Body::empty(),
        };
        builder
            .body(body)
            .map_err(|error| undecodable(error.to_string()))
    }

    async fn exchange<Resp: DeserializeOwned>(
        &self,
        context: &RequestContext,
        request: Request<Body>,
    ) -> Result<Resp, ClientError> {
        let work = async { self.decode(self.send(request).await?).await };
        self.in_time(context, work).await
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let mut calls = self.mesh.calls(self.to).map_err(|e| self.failed(e))?;
        let answer = calls.call(request).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        Ok(answer.map(Body::new))
    }

    fn failed(&self, error: TransportError) -> ClientError {
        let service = self.to;
        match error {
            TransportError::Rejected(Rejected::TimedOut { .. }) => ClientError::Timeout { service },
            TransportError::Rejected(source) => ClientError::Rejected { service, source },
            source => ClientError::Unreachable {
                service,
                source: Arc::new(source),
            },
        }
    }

    async fn decode<Resp: DeserializeOwned>(
        &self,
        response: Response<Body>,
    ) -> Result<Resp, ClientError> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let no_content = response.status() == StatusCode::NO_CONTENT;
        let bytes = self.read_all(response).await?;
        let bytes: &[u8] = if no_content || bytes.is_empty() {
            b"null"
        } else {
            &bytes
        };
        serde_json::from_slice(bytes).map_err(|error| ClientError::Undecodable {
            service: self.to,
            reason: error.to_string(),
        })
    }

    async fn read_all(&self, response: Response<Body>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let collected = body
            .collect()
            .await
            .map_err(|error| ClientError::BrokenOff {
                service: self.to,
                reason: error.to_string(),
            })?;
        Ok(collected.to_bytes())
    }

    async fn refusal(&self, response: Response<Body>) -> ClientError {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok().map(Duration::from_secs));
        let body = match self.read_all(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_else(|_| Problem {
            type_: "about:blank".into(),
            title: ErrorKind::from_status(status.as_u16()).title().into(),
            status: status.as_u16(),
            detail: format!("{} answered {status}", self.to),
            instance: None,
            code: "service.refused".into(),
            request_id: String::new(),
        });
        ClientError::Refused {
            service: self.to,
            problem: Box::new(problem),
            retry_after,
        }
    }

    async fn in_time<T>(
        &self,
        context: &RequestContext,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let left = context.remaining();
        let left = left.unwrap_or(self.mesh.protection().deadline);
        match tokio::time::timeout(left, work).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout { service: self.to }),
        }
    }
}

/// Nobody waits for what a service does by itself.
fn class_of(caller: Option<&Caller>) -> Class {
    match caller {
        Some(caller) if caller.is_background() => Class::Batch,
        _ => Class::Interactive,
    }
}
