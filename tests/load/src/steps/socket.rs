//! WebSockets that a scenario writes itself.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use touchstone_types::{Clock, SystemClock};

use super::{Session, Step};
use crate::client::{Failure, NotOpened, Opened, Received, authorized};
use crate::measure::{ErrorClass, Outcome, Recorder, Sample};
use crate::scenario::SocketSpec;

/// What marks a message: who sent it, and when, in microseconds of the clock of its machine.
const MARK: &str = "ts-load-";

/// Kinds of request, by place.
const CONNECT: u16 = 0;
const MESSAGE: u16 = 1;
const DELIVERY: u16 = 2;

/// One of them. An iteration sends a message and waits for its reply; the socket stays for the next one.
#[derive(Debug)]
pub(super) struct SocketStep {
    name: String,
    endpoints: Vec<String>,
    spec: SocketSpec,
}

impl SocketStep {
    pub fn new(name: &str, spec: &SocketSpec) -> Result<Self, String> {
        if !spec.path.starts_with('/') {
            return Err(format!(
                "the socket `{name}` has a path that does not begin with `/`"
            ));
        }
        let endpoint = |what: &str| format!("{name}.{what}");
        Ok(Self {
            name: name.to_owned(),
            endpoints: ["connect", "message", "delivery"].map(endpoint).into(),
            spec: spec.clone(),
        })
    }
}

impl Step for SocketStep {
    fn name(&self) -> &str {
        &self.name
    }

    fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    fn run<'a>(&'a self, session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
        self.iterate(session).boxed_local()
    }
}

impl SocketStep {
    async fn iterate(&self, session: &mut Session<'_>) {
        let phase = session.turn.phase;
        let kept = session.lane.take_socket(&self.name);
        let kept = kept.filter(|kept| kept.socket.is_usable());
        let mut own = match kept {
            Some(kept) => kept,
            None => match self.open(session).await {
                Some(opened) => opened,
                None => return,
            },
        };
        own.phase.set(phase);
        own.socket.forget();
        let stamp = stamp(own.number, micros());
        let number = session.random().below(1_000_000);
        let fill = |text: &str| {
            text.replace("{stamp}", &stamp)
                .replace("{n}", &number.to_string())
                .replace("{user}", &session.turn.user.to_string())
        };
        let (message, wanted) = (fill(&self.spec.send), fill(&self.spec.expect));
        let intended = session.intended();
        let began = Instant::now();
        let within = session.client.timeout();
        let replied = async {
            own.socket.send(&message).await?;
            own.socket.next(within).await
        };
        let (outcome, ended, bytes, is_over) = match replied.await {
            Ok(reply) if reply.text.contains(&wanted) => {
                (Outcome::Good, reply.at, reply.text.len(), false)
            }
            Ok(reply) => {
                session.recorder.example(session.base + MESSAGE, || {
                    format!("`{wanted}` does not stand in `{}`", reply.text)
                });
                let wrong = Outcome::Failed(ErrorClass::Content);
                (wrong, reply.at, reply.text.len(), false)
            }
            Err(failure) => {
                let now = Instant::now();
                (failed(session, MESSAGE, &failure), now, 0, true)
            }
        };
        let sample = Sample {
            bytes: bytes as u64,
            ..sample(
                phase,
                session.base + MESSAGE,
                intended.unwrap_or(began).min(began),
                began,
                ended,
                outcome,
            )
        };
        session.recorder.record(&sample);
        if is_over {
            return;
        }
        if self.spec.keep {
            session.lane.keep_socket(&self.name, own);
        } else if !own.socket.close().await {
            session.recorder.example(session.base + MESSAGE, || {
                "the other side did not close in good form".to_owned()
            });
        }
    }

    async fn open(&self, session: &mut Session<'_>) -> Option<KeptSocket> {
        let intended = session.intended();
        let began = Instant::now();
        let number = session.unique();
        let phase = Rc::new(Cell::new(session.turn.phase));
        let sort = {
            let (recorder, phase) = (session.recorder.clone(), Rc::clone(&phase));
            let (own, endpoint) = (format!("{MARK}{number:x}-"), session.base + DELIVERY);
            let is_stamped = self.spec.send.contains("{stamp}");
            move |received: &Received| {
                sorted(received, is_stamped, &own, &recorder, phase.get(), endpoint)
            }
        };
        let account = session.account.filter(|_| !self.spec.anonymous);
        let headers = authorized(account.map(crate::users::Account::credential));
        let opened = session
            .client
            .socket(session.turn.user as usize, &self.spec.path, &headers, sort)
            .await;
        let ended = Instant::now();
        let (outcome, connect, socket) = match opened {
            Ok(Opened { connect, socket }) => (Outcome::Good, Some(connect), Some(socket)),
            Err(NotOpened::Failed(failure)) => (failed(session, CONNECT, &failure), None, None),
            Err(NotOpened::Refused(status, headers)) => {
                let in_good_form = matches!(status.as_u16(), 429 | 503)
                    && headers.contains_key(http::header::RETRY_AFTER);
                let outcome = if session.sheds && in_good_form {
                    Outcome::Shed
                } else {
                    let class = ErrorClass::of_status(status.as_u16());
                    failed(
                        session,
                        CONNECT,
                        &Failure::new(class, format!("{status}: no upgrade")),
                    )
                };
                (outcome, None, None)
            }
        };
        if connect.is_some() {
            session.recorder.connected();
        }
        let intended = intended.unwrap_or(began).min(began);
        session.recorder.record(&Sample {
            connect,
            ..sample(
                session.turn.phase,
                session.base + CONNECT,
                intended,
                began,
                ended,
                outcome,
            )
        });
        Some(KeptSocket {
            number,
            phase,
            socket: socket?,
        })
    }
}

/// A socket between two iterations.
#[derive(Debug)]
pub struct KeptSocket {
    /// What its messages are marked by.
    number: u64,
    /// Phase that deliveries count to.
    phase: Rc<Cell<u16>>,
    socket: crate::client::Socket,
}

/// Records what somebody else sent as a delivery; the rest is a reply.
fn sorted(
    received: &Received,
    is_stamped: bool,
    own: &str,
    recorder: &Recorder,
    phase: u16,
    endpoint: u16,
) -> bool {
    if !is_stamped || received.text.contains(own) {
        return true;
    }
    let Some(sent) = sent(&received.text) else {
        // A greeting, or whatever else nobody asked for.
        return false;
    };
    let late = Duration::from_micros(u64::try_from(micros() - sent).unwrap_or_default());
    let began = received.at.checked_sub(late).unwrap_or(received.at);
    let bytes = received.text.len() as u64;
    recorder.record(&Sample {
        bytes,
        ..sample(phase, endpoint, began, began, received.at, Outcome::Good)
    });
    false
}

fn sample(
    phase: u16,
    endpoint: u16,
    intended: Instant,
    began: Instant,
    ended: Instant,
    outcome: Outcome,
) -> Sample {
    Sample {
        phase,
        endpoint,
        intended,
        began,
        connect: None,
        first_byte: None,
        ended,
        outcome,
        bytes: 0,
        events: Vec::new(),
    }
}

fn failed(session: &Session<'_>, kind: u16, failure: &Failure) -> Outcome {
    session
        .recorder
        .example(session.base + kind, || failure.what.clone());
    Outcome::Failed(failure.class)
}

fn stamp(number: u64, at: i64) -> String {
    format!("{MARK}{number:x}-{at}")
}

/// When a message was sent, by its mark.
fn sent(text: &str) -> Option<i64> {
    let (_, marked) = text.split_once(MARK)?;
    let (_, at) = marked.split_once('-')?;
    let end = at.find(|sign: char| !sign.is_ascii_digit());
    at[..end.unwrap_or(at.len())].parse().ok()
}

fn micros() -> i64 {
    SystemClock.now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_message_is_read_from_its_mark() {
        let text = format!(
            "{{\"text\": \"{}\", \"n\": 7}}",
            stamp(0xfe, 1_700_000_000_000_123)
        );
        assert_eq!(sent(&text), Some(1_700_000_000_000_123));
        assert_eq!(sent("ts-load-1"), None);
        assert_eq!(sent("hello"), None);
    }

    #[test]
    fn what_others_sent_is_a_delivery_and_ones_own_is_a_reply() {
        let recorder = Recorder::default();
        let sort = |text: &str| {
            let received = Received {
                at: Instant::now(),
                text: text.into(),
            };
            sorted(&received, true, "ts-load-1-", &recorder, 0, 2)
        };
        assert!(sort(&stamp(1, micros())));
        assert!(!sort(&stamp(0x11, micros() - 30_000)));
        assert!(!sort("welcome"));
        let part = recorder.take();
        let mut series = crate::measure::Series::default();
        series.absorb(0, &part);
        let cell = series.sum(None, Some(2));
        assert_eq!(cell.requests(), 1);
        let total = cell.durations(crate::measure::Measure::Total).unwrap();
        assert!(
            total.min() >= Duration::from_millis(29),
            "{:?}",
            total.min()
        );
    }
}
