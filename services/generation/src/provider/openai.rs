use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use super::guard::backoff;
use super::sse::Parser;
use super::{Delta, Deltas, Error, Finish, Provider, Usage};
use crate::config::OpenAiConfig;
use crate::domain::prompt::Prompt;
use crate::domain::tokens::estimate;

/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// Most bytes of an answer that was not streamed.
const MAX_WHOLE_BYTES: usize = 4 * 1024 * 1024;
/// Events that cannot be read and are skipped before the answer counts as unreadable.
const MAX_UNREADABLE: usize = 8;

type BodyStream = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// Speaks to any server of the OpenAI dialect. Always streams; reads what it knows and skips the
/// rest.
#[derive(Debug)]
pub struct OpenAi {
    config: OpenAiConfig,
    url: String,
    client: Client,
}

impl OpenAi {
    /// A provider after the configuration; `None` when it is off.
    pub fn new(config: OpenAiConfig) -> Result<Option<Self>, reqwest::Error> {
        let Some(base) = config.url() else {
            return Ok(None);
        };
        let url = format!("{base}/chat/completions");
        let mut builder = Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("touchstone/", env!("CARGO_PKG_VERSION")));
        if is_local(base) {
            builder = builder.no_proxy();
        }
        Ok(Some(Self {
            client: builder.build()?,
            config,
            url,
        }))
    }

    fn body(&self, prompt: &Prompt) -> Value {
        let messages: Vec<Value> = prompt
            .turns
            .iter()
            .map(|turn| json!({ "role": turn.speaker.as_str(), "content": turn.text }))
            .collect();
        let mut body = json!({
            "model": self.config.model,
            "messages": messages,
            "max_tokens": prompt.max_tokens,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        if let Some(temperature) = prompt.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    /// One try.
    async fn send(&self, body: &Value) -> Result<Response, Failure> {
        let mut request = self
            .client
            .post(&self.url)
            .header(ACCEPT, "text/event-stream")
            .json(body);
        if !self.config.api_key.is_empty() {
            request = request.bearer_auth(self.config.api_key.expose());
        }
        let response = request.send().await.map_err(|error| Failure {
            error: Error::Unavailable(error.without_url().to_string()),
            is_final: false,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(&response);
        let error = match status.as_u16() {
            429 => Error::Overloaded { retry_after },
            408 | 500.. => Error::Unavailable(format!("status {status}")),
            code => Error::Refused {
                status: code,
                reason: error_text(response).await,
            },
        };
        let too_long = retry_after.is_some_and(|wait| wait > self.config.max_retry_after);
        let is_final = too_long || matches!(error, Error::Refused { .. });
        Err(Failure { error, is_final })
    }

    /// Tries until the server accepts; only before the first byte of an answer.
    async fn open(&self, body: &Value) -> Result<Response, Error> {
        let mut tries = 0;
        loop {
            let failure = match self.send(body).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            tries += 1;
            if failure.is_final || tries >= self.config.attempts {
                return Err(failure.error);
            }
            let named = match failure.error {
                Error::Overloaded { retry_after } => retry_after,
                _ => None,
            };
            let wait = named.unwrap_or_else(|| backoff(self.config.backoff, tries - 1));
            tokio::time::sleep(wait).await;
        }
    }
}

/// A try that failed.
struct Failure {
    error: Error,
    is_final: bool,
}

#[async_trait]
impl Provider for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn model(&self) -> &str {
        &self.config.model
    }

    async fn generate(&self, prompt: Prompt) -> Result<Deltas, Error> {
        let response = self.open(&self.body(&prompt)).await?;
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_none_or(|value| !value.starts_with("application/json"));
        let mut answer = Answer::new(prompt.tokens());
        if is_stream {
            let body: BodyStream = Box::pin(response.bytes_stream());
            return Ok(Box::pin(stream::unfold((answer, Some(body)), step)));
        }
        let whole = limited(response, MAX_WHOLE_BYTES).await?;
        answer.event(&String::from_utf8_lossy(&whole))?;
        answer.end()?;
        Ok(Box::pin(stream::iter(answer.ready.into_iter().map(Ok))))
    }
}

/// Gives the next piece, reading on as far as need be.
async fn step(
    (mut answer, mut body): (Answer, Option<BodyStream>),
) -> Option<(Result<Delta, Error>, (Answer, Option<BodyStream>))> {
    loop {
        if let Some(delta) = answer.ready.pop_front() {
            return Some((Ok(delta), (answer, body)));
        }
        // After the end, or after an error, there is nothing more to read.
        let open = body.as_mut()?;
        let read = match open.next().await {
            Some(Ok(bytes)) => answer.take(&bytes),
            Some(Err(error)) => Err(Error::BrokenOff(error.without_url().to_string())),
            None => answer.end(),
        };
        if answer.ended {
            body = None;
        }
        if let Err(error) = read {
            return Some((Err(error), (answer, None)));
        }
    }
}

/// What was read of an answer.
struct Answer {
    parser: Parser,
    ready: VecDeque<Delta>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    prompt_tokens: u32,
    written_tokens: u32,
    unreadable: usize,
    ended: bool,
}

impl Answer {
    fn new(prompt_tokens: u32) -> Self {
        Self {
            parser: Parser::default(),
            ready: VecDeque::new(),
            finish: None,
            usage: None,
            prompt_tokens,
            written_tokens: 0,
            unreadable: 0,
            ended: false,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let read = self.parser.push(bytes);
        self.events()?;
        read.map_err(|_| Error::Unreadable("a line without an end".into()))
    }

    /// The bytes are over.
    fn end(&mut self) -> Result<(), Error> {
        self.parser.finish();
        self.events()?;
        if self.ended {
            return Ok(());
        }
        if self.finish.is_none() {
            return Err(Error::BrokenOff(
                "the stream ended without a finish reason".into(),
            ));
        }
        self.close();
        Ok(())
    }

    fn events(&mut self) -> Result<(), Error> {
        while let Some(data) = self.parser.next() {
            if !self.ended {
                self.event(&data)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, data: &str) -> Result<(), Error> {
        if data.trim() == "[DONE]" {
            self.close();
            return Ok(());
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            self.unreadable += 1;
            if self.unreadable > MAX_UNREADABLE {
                return Err(Error::Unreadable("too many events that are no JSON".into()));
            }
            return Ok(());
        };
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let text = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("no message");
            return Err(Error::BrokenOff(text.chars().take(200).collect()));
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            let count = |key: &str| {
                usage
                    .get(key)
                    .and_then(Value::as_u64)
                    .and_then(|count| u32::try_from(count).ok())
            };
            self.usage = Some(Usage {
                prompt_tokens: count("prompt_tokens").unwrap_or(self.prompt_tokens),
                completion_tokens: count("completion_tokens").unwrap_or(self.written_tokens),
            });
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Ok(());
        };
        let text = ["/delta/content", "/message/content", "/text"]
            .iter()
            .find_map(|path| choice.pointer(path).and_then(Value::as_str));
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.written_tokens = self.written_tokens.saturating_add(estimate(text));
            self.ready.push_back(Delta::Text(text.to_owned()));
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish = Some(match reason {
                "length" => Finish::Length,
                "content_filter" => Finish::Filtered,
                _ => Finish::Stop,
            });
        }
        Ok(())
    }

    fn close(&mut self) {
        let counted = Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.written_tokens,
        };
        let usage = self.usage.unwrap_or(counted);
        self.ready.push_back(Delta::End {
            finish: self.finish.unwrap_or(Finish::Stop),
            usage,
        });
        self.ended = true;
    }
}

/// The whole seconds of a `Retry-After`.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The beginning of an error's body, in one line.
async fn error_text(response: Response) -> String {
    let body = limited(response, MAX_ERROR_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|body| Some(body.pointer("/error/message")?.as_str()?.to_owned()));
    let text = message.unwrap_or_else(|| text.into_owned());
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect()
}

/// A body of at most `most` bytes.
async fn limited(response: Response, most: usize) -> Result<Vec<u8>, Error> {
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| Error::BrokenOff(error.without_url().to_string()))?;
        if body.len() + bytes.len() > most {
            return Err(Error::Unreadable("the answer is too large".into()));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Whether the server is on this machine, where no proxy stands between.
fn is_local(base: &str) -> bool {
    let host = base.split("://").nth(1).unwrap_or_default();
    ["localhost", "127.", "[::1]"]
        .iter()
        .any(|start| host.starts_with(start))
}
