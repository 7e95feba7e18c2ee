use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, StatusCode};

use super::{AttemptTimeout, Deadline};
use crate::Outcome;
use crate::breaker::{Change, Permit};
use crate::decision::{Action, Decision};
use crate::ewma::Pending;
use crate::latency::Latency;
use crate::stream::{End, Stream};
use crate::time::Instant;
use crate::upstream::{Instance, Upstream};

/// One call to one instance, until the end of its answer.
pub(super) struct Attempt {
    upstream: Upstream,
    instance: Arc<Instance>,
    permit: Permit,
    /// Counts it among the instance's calls under way.
    pending: Option<Pending>,
    latency: Option<Arc<Latency>>,
    stream: Stream,
    started: Instant,
    /// The caller's, and the policy's for this attempt.
    deadline: Option<Instant>,
    timeout: Option<Instant>,
    has_head: bool,
    is_connection: bool,
    pub is_done: bool,
}

impl Attempt {
    /// A call to `instance` begins.
    pub fn begin<B>(
        upstream: &Upstream,
        instance: &Arc<Instance>,
        permit: Permit,
        request: &Request<B>,
        now: Instant,
    ) -> Self {
        let deadline = request.extensions().get::<Deadline>();
        let timeout = request.extensions().get::<AttemptTimeout>();
        Self {
            instance: Arc::clone(instance),
            permit,
            pending: Some(instance.load.begin()),
            latency: upstream.latency(request.method(), request.uri().path()),
            stream: Stream::start(upstream.config().stream, now),
            started: now,
            deadline: deadline.map(|deadline| upstream.clock().at(deadline.0)),
            timeout: timeout.map(|timeout| upstream.clock().at(timeout.0)),
            has_head: false,
            is_connection: false,
            is_done: false,
            upstream: upstream.clone(),
        }
    }

    pub fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.has_head = true;
        match Outcome::of_head(status, headers) {
            Outcome::Success | Outcome::Slow | Outcome::Neutral => {}
            told => self.done(told),
        }
    }

    pub fn frame(&mut self) {
        let now = self.upstream.now();
        let Some(took) = self.stream.frame(now) else {
            return;
        };
        if self.is_done {
            return;
        }
        self.instance.load.observe(now, took);
        if let Some(latency) = &self.latency {
            latency.record(now, took);
        }
        if self.permit.is_probe() {
            let outcome = self.stream.end(now, End::Complete);
            self.report(now, outcome);
        }
    }

    /// The answer was consent to another protocol.
    pub fn connected(mut self) -> Connected {
        self.frame();
        // Most connections are silent most of the time: that is no load.
        self.pending = None;
        self.has_head = true;
        self.is_connection = true;
        Connected(Arc::new(Mutex::new(Some(self))))
    }

    /// How a connection ended says what the call said; its silences say nothing.
    fn disconnected(&mut self, end: End) {
        let outcome = match end {
            End::Complete => Outcome::Success,
            End::BrokenOff => Outcome::FAILURE,
            End::CallerLeft => Outcome::Neutral,
        };
        self.done(outcome);
    }

    pub fn end(&mut self, end: End) {
        if end == End::Complete {
            // An answer without a body has its first frame here.
            self.frame();
        }
        if !self.is_done {
            let outcome = self.stream.end(self.upstream.now(), end);
            self.done(outcome);
        }
    }

    pub fn done(&mut self, outcome: Outcome) {
        self.is_done = true;
        let now = self.upstream.now();
        if matches!(
            outcome,
            Outcome::Failure { .. } | Outcome::Overloaded { .. } | Outcome::Relayed
        ) {
            self.instance.load.fail(now);
        }
        self.report(now, outcome);
    }

    fn report(&mut self, now: Instant, outcome: Outcome) {
        let Some(change) = self.permit.report(now, outcome) else {
            return;
        };
        let target = Arc::clone(&self.instance.name);
        let decision = match change {
            Change::Opened { reason, lasts } => {
                Decision::new(now, "breaker", target, Action::Opened, reason.as_str())
                    .holds_for(lasts)
            }
            Change::Closed => Decision::new(
                now,
                "breaker",
                target,
                Action::Closed,
                "the probe succeeded",
            ),
        };
        self.upstream.tell(decision);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if self.is_connection {
            self.disconnected(End::CallerLeft);
            return;
        }
        let now = self.upstream.now();
        if !self.has_head {
            // Nobody waited for the answer to the end, but as long as this it would have taken:
            // else whoever is silent would look as fast as before to the next call.
            self.instance.load.at_least(now, now.since(self.started));
        }
        // Whoever waited until the deadline did not leave by choice.
        let passed = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        let was_patient = now.since(self.started) >= self.upstream.config().patience;
        let timed_out = passed(self.timeout) || (passed(self.deadline) && was_patient);
        if timed_out && !self.has_head {
            self.done(Outcome::FAILURE);
        } else {
            self.end(End::CallerLeft);
        }
    }
}

/// A connection with an instance that began as a call, e.g. a WebSocket: an extension of answers with
/// the status 101. Whoever passes the bytes tells how it ended; otherwise it says nothing.
#[derive(Clone)]
pub struct Connected(Arc<Mutex<Option<Attempt>>>);

impl Connected {
    /// The connection has ended; only the first end counts.
    pub fn ended(&self, end: End) {
        let attempt = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut attempt) = attempt {
            attempt.disconnected(end);
        }
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").finish_non_exhaustive()
    }
}
