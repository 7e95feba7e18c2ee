use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{Method, Request};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::draw::{Draws, word};
use crate::{Point, Side, Spec};

/// Paths of operations, which faults spare unless they name them.
const OPERATIONS: [&str; 4] = ["/health", "/ready", "/live", "/metrics"];

/// A fault that was asked for.
#[derive(Debug)]
pub(crate) struct Fault {
    pub id: u64,
    pub spec: Spec,
    pub seed: u64,
    /// When the plane began.
    began: Instant,
    from: Instant,
    until: Option<Instant>,
    /// When it was taken back.
    cleared: OnceLock<Instant>,
    over: CancellationToken,
    draws: Mutex<Draws>,
    struck: AtomicU64,
    first: OnceLock<Instant>,
}

/// A fault and what it did, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its number.
    pub id: u64,
    /// Which requests it strikes is fixed by this.
    pub seed: u64,
    /// Where it is.
    pub state: State,
    /// When it begins, in milliseconds after the plane did.
    pub from_ms: u64,
    /// When it ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// When it struck first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    /// Requests that it could have struck.
    pub matched: u64,
    /// Requests that it struck.
    pub struck: u64,
    /// What was asked for.
    pub spec: Spec,
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It will begin.
    Waiting,
    /// It strikes.
    Active,
    /// Its time is over.
    Over,
    /// It was taken back.
    Cleared,
}

impl Fault {
    pub fn new(id: u64, spec: Spec, seed: u64, began: Instant) -> Self {
        let from = Instant::now() + Duration::from_millis(spec.after_ms);
        Self {
            id,
            seed,
            began,
            from,
            until: spec.for_ms.map(|ms| from + Duration::from_millis(ms)),
            cleared: OnceLock::new(),
            over: CancellationToken::new(),
            draws: Mutex::new(Draws::new(seed, spec.share)),
            struck: AtomicU64::new(0),
            first: OnceLock::new(),
            spec,
        }
    }

    pub fn state(&self) -> State {
        let now = Instant::now();
        if self.cleared.get().is_some() {
            State::Cleared
        } else if now < self.from {
            State::Waiting
        } else if self.until.is_some_and(|until| now >= until) {
            State::Over
        } else {
            State::Active
        }
    }

    /// Takes it back: what waits for its end goes on.
    pub fn clear(&self) {
        if matches!(self.state(), State::Waiting | State::Active) {
            let _ = self.cleared.set(Instant::now());
        }
        self.over.cancel();
    }

    /// Whether it is one of these.
    pub fn is_of(&self, point: Point, side: Side) -> bool {
        self.spec.kind.point() == point && self.spec.side == side && self.state() == State::Active
    }

    /// Whether a request is one that it strikes, leaving its share aside.
    pub fn matches(&self, method: &Method, path: &str) -> bool {
        let spec = &self.spec;
        if spec
            .method
            .as_ref()
            .is_some_and(|own| own != method.as_str())
        {
            return false;
        }
        match &spec.path {
            Some(begin) => path.starts_with(begin.as_str()),
            None => spec.kind.point() != Point::Request || !OPERATIONS.contains(&path),
        }
    }

    /// Draws for the next request that matches; its number if it is struck.
    pub fn draw(&self) -> Option<u64> {
        let drawn = self
            .draws
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .draw();
        let (number, struck) = drawn;
        if !struck {
            return None;
        }
        self.struck.fetch_add(1, Ordering::Relaxed);
        let _ = self.first.set(Instant::now());
        Some(number)
    }

    /// Resolves when its time is over, or it is taken back.
    pub async fn over(&self) {
        match self.until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, self.over.cancelled()).await;
            }
            None => self.over.cancelled().await,
        }
    }

    /// A number that is fixed by its seed and the request.
    pub fn word(&self, number: u64) -> u64 {
        word(self.seed, number)
    }

    pub fn show(&self) -> Shown {
        let since = |at: Instant| u64::try_from((at - self.began).as_millis()).unwrap_or(u64::MAX);
        let until = self.cleared.get().copied().or(self.until);
        Shown {
            id: self.id,
            seed: self.seed,
            state: self.state(),
            from_ms: since(self.from),
            until_ms: until.map(since),
            first_ms: self.first.get().copied().map(since),
            matched: self
                .draws
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .drawn(),
            struck: self.struck.load(Ordering::Relaxed),
            spec: self.spec.clone(),
        }
    }
}

/// What faults look at of a request.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub id: String,
    pub method: Method,
    pub path: String,
    /// Whether it shows a token.
    pub has_token: bool,
}

impl Target {
    pub fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let id = headers.get(touchstone_api::headers::REQUEST_ID);
        Self {
            id: id
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            has_token: headers.contains_key(http::header::AUTHORIZATION)
                || headers.contains_key(touchstone_api::headers::API_KEY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn fault(edit: impl FnOnce(&mut Spec)) -> Fault {
        let mut spec = Spec::new(Kind::Delay);
        edit(&mut spec);
        Fault::new(1, spec, 7, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_has_its_time_and_is_over_then() {
        let fault = fault(|spec| (spec.after_ms, spec.for_ms) = (1000, Some(2000)));
        assert_eq!(fault.state(), State::Waiting);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(fault.state(), State::Active);
        fault.over().await;
        assert_eq!(fault.state(), State::Over);
        assert_eq!(fault.began.elapsed().as_millis(), 3000);
        fault.clear();
        assert_eq!(fault.show().until_ms, Some(3000), "it had ended by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_that_is_taken_back_is_over_at_once() {
        let fault = fault(|spec| spec.for_ms = Some(60_000));
        tokio::time::advance(Duration::from_millis(5)).await;
        fault.clear();
        fault.over().await;
        assert_eq!(
            (fault.state(), fault.show().until_ms),
            (State::Cleared, Some(5))
        );
    }

    #[tokio::test]
    async fn operations_are_spared_unless_they_are_named() {
        let (any, of_health) = (
            fault(|_| ()),
            fault(|spec| spec.path = Some("/health".into())),
        );
        assert!(any.matches(&Method::GET, "/api/v1/documents"));
        assert!(!any.matches(&Method::GET, "/health"));
        assert!(of_health.matches(&Method::GET, "/health"));
        assert!(!of_health.matches(&Method::GET, "/api/v1/documents"));
        let posts = fault(|spec| spec.method = Some("POST".into()));
        assert!(posts.matches(&Method::POST, "/x") && !posts.matches(&Method::GET, "/x"));
    }
}
