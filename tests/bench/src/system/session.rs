//! A user at the gateway of a stack.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// Who calls, and where.
#[derive(Clone, Debug)]
pub struct Session {
    http: Client,
    gateway: String,
    /// Header and value that say who it is.
    credential: (&'static str, String),
}

impl Session {
    pub fn new(gateway: String, credential: (&'static str, String)) -> anyhow::Result<Self> {
        Ok(Self {
            http: Client::builder().build()?,
            gateway,
            credential,
        })
    }

    /// Where the gateway is.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// What says who it is.
    pub fn credential(&self) -> &str {
        &self.credential.1
    }

    /// A request as this user.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let (header, value) = &self.credential;
        self.http
            .request(method, format!("{}/api/v1{path}", self.gateway))
            .header(*header, value)
    }

    /// Sends a request; anything but success is an error.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        told(path, request.send().await?).await
    }

    /// Waits until no document is on its way.
    pub async fn settled(&self) -> anyhow::Result<()> {
        for status in ["queued", "parsed", "chunked", "embedded"] {
            let path = format!("/documents?status={status}&limit=1");
            while !self.send(Method::GET, &path, None).await?["items"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }
}

/// The body of a success.
pub async fn told(path: &str, response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let body = response.text().await?;
    anyhow::ensure!(status.is_success(), "{path} answered {status}: {body}");
    Ok(serde_json::from_str(&body)?)
}
