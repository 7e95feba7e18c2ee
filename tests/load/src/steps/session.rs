//! What a step has in hand: a connection, an account, draws, and somebody who writes down.

use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use crate::arrivals::Random;
use crate::client::{Answer, Client, Exchange, Lane, Read};
use crate::engine::Turn;
use crate::measure::{ErrorClass, Outcome, Recorder, Sample};
use crate::users::Account;

/// A request that a step makes.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    read: Read,
    who: Who,
    expected: Vec<u16>,
}

/// Whose credential a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Account,
    Operator,
    Nobody,
}

impl Call {
    /// Any request; the path with its query.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            read: Read::Count,
            who: Who::Account,
            expected: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST with JSON.
    pub fn post(path: impl Into<String>, body: &serde_json::Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        let call = Self::new(Method::POST, path).header(CONTENT_TYPE, json);
        call.body(body.to_string())
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Keeps the body of the answer for checks.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.read = Read::Keep;
        self
    }

    /// The answer is a stream of events.
    #[must_use]
    pub fn events(mut self) -> Self {
        self.read = Read::Events;
        self
    }

    /// Without the account's credential.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.who = Who::Nobody;
        self
    }

    /// With the credential of whoever runs the target.
    #[must_use]
    pub fn by_operator(mut self) -> Self {
        self.who = Who::Operator;
        self
    }

    /// The statuses that are right; 200 to 299 unless said.
    #[must_use]
    pub fn expect(mut self, statuses: impl Into<Vec<u16>>) -> Self {
        self.expected = statuses.into();
        self
    }

    /// As a request to a target.
    pub(crate) fn request(
        &self,
        client: &Client,
        credential: Option<HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let target = client.target();
        let path = [target.prefix(), &self.path].concat();
        let uri = if client.is_http2() {
            let scheme = if target.is_tls() { "https" } else { "http" };
            Uri::builder()
                .scheme(scheme)
                .authority(target.authority().as_bytes())
                .path_and_query(path)
                .build()?
        } else {
            Uri::try_from(path)?
        };
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        if !client.is_http2() {
            headers.insert(HOST, target.authority().clone());
        }
        if let Some(credential) = credential {
            headers.insert(AUTHORIZATION, credential);
        }
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        Ok(request)
    }

    /// Whether a status is right.
    pub(crate) fn is_expected(&self, status: u16) -> bool {
        if self.expected.is_empty() {
            (200..300).contains(&status)
        } else {
            self.expected.contains(&status)
        }
    }
}

/// An iteration of a user.
#[derive(Debug)]
pub struct Session<'a> {
    pub(crate) client: &'a Client,
    pub(crate) lane: &'a mut Lane,
    pub(crate) recorder: &'a Recorder,
    pub(crate) turn: Turn,
    pub(crate) account: Option<&'a Account>,
    pub(crate) operator: Option<&'a HeaderValue>,
    /// First kind of request of the step.
    pub(crate) base: u16,
    /// Whether refusals in good form are no errors.
    pub(crate) sheds: bool,
    pub(crate) random: Random,
    /// Set once the first request was made: those that follow begin when they begin.
    pub(crate) is_begun: bool,
}

impl Session<'_> {
    /// Draws of this iteration.
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Who is logged in.
    pub const fn account(&self) -> Option<&Account> {
        self.account
    }

    /// Number of the user.
    pub const fn user(&self) -> u64 {
        self.turn.user
    }

    /// A number that no other iteration of the run has.
    pub const fn unique(&self) -> u64 {
        self.turn.draw
    }

    /// When what comes next was wanted, if it is the first thing of the iteration.
    pub(crate) const fn intended(&mut self) -> Option<Instant> {
        if self.is_begun {
            return None;
        }
        self.is_begun = true;
        Some(self.turn.intended)
    }

    /// Makes a request of the step's `kind` (a place in [`super::Step::endpoints`]), checks the answer
    /// and records how it went. The answer is returned when it was right.
    pub async fn call(
        &mut self,
        kind: u16,
        call: Call,
        check: impl FnOnce(&Answer) -> Result<(), String>,
    ) -> Option<Answer> {
        let endpoint = self.base + kind;
        let credential = match call.who {
            Who::Account => self.account.map(Account::credential),
            Who::Operator => self.operator.cloned(),
            Who::Nobody => None,
        };
        let request = match call.request(self.client, credential) {
            Ok(request) => request,
            Err(error) => {
                let now = Instant::now();
                self.record(endpoint, now, now, Outcome::Failed(ErrorClass::Protocol));
                self.recorder
                    .example(endpoint, || format!("cannot be asked: {error}"));
                return None;
            }
        };
        let intended = self.intended();
        let exchange = self.client.exchange(self.lane, request, call.read).await;
        let (outcome, what) = self.judge(&exchange, &call, check);
        if let Some(what) = what {
            self.recorder.example(endpoint, || what);
        }
        if let Ok(answer) = &exchange.result {
            let took = exchange.ended.saturating_duration_since(exchange.began);
            self.recorder.slow(endpoint, took, || named(answer));
        }
        if exchange.connect.is_some() {
            self.recorder.connected();
        }
        self.recorder.record(&Sample {
            phase: self.turn.phase,
            endpoint,
            intended: intended.unwrap_or(exchange.began).min(exchange.began),
            began: exchange.began,
            connect: exchange.connect,
            first_byte: exchange.first_byte,
            ended: exchange.ended,
            outcome,
            bytes: exchange.bytes,
            events: exchange.event_times,
        });
        exchange.result.ok().filter(|_| outcome == Outcome::Good)
    }

    fn judge(
        &self,
        exchange: &Exchange,
        call: &Call,
        check: impl FnOnce(&Answer) -> Result<(), String>,
    ) -> (Outcome, Option<String>) {
        let answer = match &exchange.result {
            Ok(answer) => answer,
            Err(failure) => {
                return (Outcome::Failed(failure.class), Some(failure.what.clone()));
            }
        };
        let status = answer.status.as_u16();
        if !call.is_expected(status) {
            let in_good_form =
                matches!(status, 429 | 503) && answer.headers.contains_key(RETRY_AFTER);
            if self.sheds && in_good_form {
                return (Outcome::Shed, None);
            }
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
            let class = ErrorClass::of_status(status);
            return (Outcome::Failed(class), Some(format!("{status}: {body}")));
        }
        match check(answer) {
            Ok(()) => (Outcome::Good, None),
            Err(what) => (Outcome::Failed(ErrorClass::Content), Some(what)),
        }
    }

    fn record(&self, endpoint: u16, began: Instant, ended: Instant, outcome: Outcome) {
        self.recorder.record(&Sample {
            phase: self.turn.phase,
            endpoint,
            intended: self.turn.intended.min(began),
            began,
            connect: None,
            first_byte: None,
            ended,
            outcome,
            bytes: 0,
            events: Vec::new(),
        });
    }
}

/// What the target calls a request: the trace, else the request id that its answer names.
fn named(answer: &Answer) -> Option<String> {
    let text = |name: &str| answer.headers.get(name)?.to_str().ok();
    let trace = text("traceparent").and_then(|trace| trace.split('-').nth(1));
    trace.or_else(|| text("x-request-id")).map(str::to_owned)
}
