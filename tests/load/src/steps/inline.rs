//! Requests that a scenario writes itself.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{HeaderName, HeaderValue, Method};

use super::{Call, Session, Step};
use crate::client::Answer;
use crate::scenario::{Expected, Inline};

/// One of them.
#[derive(Debug)]
pub(super) struct InlineStep {
    name: String,
    endpoints: Vec<String>,
    method: Method,
    request: Inline,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl InlineStep {
    pub fn new(name: &str, request: &Inline) -> Result<Self, String> {
        let wrong = |what: &str| format!("the request `{name}` has {what}");
        if !request.path.starts_with('/') {
            return Err(wrong("a path that does not begin with `/`"));
        }
        let headers: Option<Vec<_>> = request
            .headers
            .iter()
            .map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .collect();
        let headers = headers.ok_or_else(|| wrong("a header that cannot be"))?;
        Ok(Self {
            name: name.to_owned(),
            endpoints: vec![name.to_owned()],
            method: request
                .method
                .parse()
                .map_err(|_| wrong("a method that cannot be"))?,
            request: request.clone(),
            headers,
        })
    }

    fn call(&self, session: &mut Session<'_>) -> Call {
        let (number, user) = (session.random().below(1_000_000), session.user());
        let fill = |text: &str| {
            if text.contains('{') {
                text.replace("{n}", &number.to_string())
                    .replace("{user}", &user.to_string())
            } else {
                text.to_owned()
            }
        };
        let mut call = Call::new(self.method.clone(), fill(&self.request.path));
        for (name, value) in &self.headers {
            call = call.header(name.clone(), value.clone());
        }
        if let Some(body) = &self.request.body {
            call = call.body(fill(body));
        }
        let expect = &self.request.expect;
        if self.request.stream {
            call = call.events();
        } else if expect.contains.is_some() || !expect.json.is_empty() {
            call = call.keep();
        }
        call.expect(expect.status.clone())
    }
}

impl Step for InlineStep {
    fn name(&self) -> &str {
        &self.name
    }

    fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    fn run<'a>(&'a self, session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
        async move {
            let call = self.call(session);
            session
                .call(0, call, |answer| check(&self.request.expect, answer))
                .await;
        }
        .boxed_local()
    }
}

fn check(expected: &Expected, answer: &Answer) -> Result<(), String> {
    if let Some(text) = &expected.contains
        && !String::from_utf8_lossy(&answer.body).contains(text.as_str())
    {
        return Err(format!("`{text}` does not stand in the answer"));
    }
    if answer.events.len() < expected.events {
        return Err(format!(
            "{} events came, at least {} should",
            answer.events.len(),
            expected.events
        ));
    }
    if expected.json.is_empty() {
        return Ok(());
    }
    let json: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
    for (pointer, value) in &expected.json {
        let found = json.pointer(pointer);
        if found != Some(value) {
            let found = found.map_or_else(|| "missing".to_owned(), ToString::to_string);
            return Err(format!("`{pointer}` is {found}, not {value}"));
        }
    }
    Ok(())
}
