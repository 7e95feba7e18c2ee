use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

/// Speaks to a router as one caller.
#[derive(Clone, Debug)]
pub struct TestClient {
    router: Router,
    token: Option<String>,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl TestClient {
    /// Without a credential.
    pub fn anonymous(router: Router) -> Self {
        Self {
            router,
            token: None,
        }
    }

    /// With a bearer token.
    pub fn new(router: Router, token: impl Into<String>) -> Self {
        Self {
            router,
            token: Some(token.into()),
        }
    }

    /// Sends any request; the token is added unless the request has one.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(token) = &self.token
            && !request.headers().contains_key(AUTHORIZATION)
        {
            let value = format!("Bearer {token}")
                .parse()
                .expect("a token is a header value");
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body ends").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// A request without a body.
    pub async fn get(&self, path: &str) -> Answer {
        self.empty(Method::GET, path).await
    }

    /// A request without a body.
    pub async fn delete(&self, path: &str) -> Answer {
        self.empty(Method::DELETE, path).await
    }

    /// A request without a body, of any method.
    pub async fn empty(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// A JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.json(Method::POST, path, body).await
    }

    /// A JSON body, with any method.
    pub async fn json(&self, method: Method, path: &str, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).expect("the body is JSON");
        self.raw(method, path, "application/json", body).await
    }

    /// Any body.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).expect("a request"))
            .await
    }
}

impl Answer {
    /// The body as JSON.
    #[expect(clippy::panic, reason = "an answer that is no JSON fails its test")]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {}: {}", self.status, self.text()),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and code of a problem, e.g. `404 request.unknown_id`; fails unless it is one.
    pub fn problem(&self) -> String {
        let body: Value = self.json();
        let content_type = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        assert_eq!(content_type, Some("application/problem+json"), "{body}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        format!(
            "{} {}",
            self.status.as_u16(),
            body["code"].as_str().unwrap_or_default()
        )
    }
}
