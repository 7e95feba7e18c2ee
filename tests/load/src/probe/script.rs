//! What the probe does, request by request: pure, so that every answer is known before.

use std::time::Duration;

/// A probe: known behaviour under a known load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Answers after 20 ms.
    Steady,
    /// Answers at once, but stands still for a sixth of the time: the test for coordinated omission.
    Freeze,
    /// Of twenty answers one takes 200 ms, the others 5 ms.
    Bimodal,
    /// Every tenth answer is a 500.
    Errors,
    /// Every fourth answer is a 429: a bucket that admits exactly three quarters.
    Bucket,
    /// The head comes at once, the body 150 ms later.
    SlowBody,
    /// Every tenth connection is reset instead of answered.
    Reset,
    /// Every tenth answer is shorter than it says.
    Cut,
    /// Every tenth answer is a 200 with the wrong content.
    Wrong,
    /// A stream of five events, 40 ms apart.
    Stream,
    /// One server that takes 20 ms, asked more often than it can.
    Queue,
    /// Closes the connection after each answer.
    Close,
    /// Sends elsewhere, where the answer is.
    Redirect,
}

/// What a right answer holds.
pub const RIGHT: &str = "touchstone-probe";
/// Longest pause of [`Probe::Freeze`], as a share of the run.
const FROZEN: f64 = 1.0 / 6.0;

/// How a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection stays.
    Keep,
    /// It is closed in order.
    Close,
    /// It is reset, without any answer.
    Reset,
    /// It is closed in the middle of the body.
    Cut,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// From the request to the head.
    pub before_head: Duration,
    /// Status.
    pub status: u16,
    /// From the head to the body, or to each piece of it.
    pub before_piece: Duration,
    /// The body.
    pub pieces: Vec<String>,
    /// How it ends.
    pub end: End,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Steady,
        Self::Freeze,
        Self::Bimodal,
        Self::Errors,
        Self::Bucket,
        Self::SlowBody,
        Self::Reset,
        Self::Cut,
        Self::Wrong,
        Self::Stream,
        Self::Queue,
        Self::Close,
        Self::Redirect,
    ];

    /// Its name, which is its path as well.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Freeze => "freeze",
            Self::Bimodal => "bimodal",
            Self::Errors => "errors",
            Self::Bucket => "bucket",
            Self::SlowBody => "slow-body",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Wrong => "wrong",
            Self::Stream => "stream",
            Self::Queue => "queue",
            Self::Close => "close",
            Self::Redirect => "redirect",
        }
    }

    /// By name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|probe| probe.name() == name)
    }

    /// When it stands still, in a run of this length: from and to.
    pub fn frozen(self, run: Duration) -> Option<(Duration, Duration)> {
        (self == Self::Freeze).then(|| {
            let from = run.mul_f64(1.0 / 3.0);
            (from, from + run.mul_f64(FROZEN))
        })
    }

    /// The reply to its request of this number.
    pub fn reply(self, number: u64) -> Reply {
        let millis = Duration::from_millis;
        let plain = Reply {
            before_head: Duration::ZERO,
            status: 200,
            before_piece: Duration::ZERO,
            pieces: vec![RIGHT.into()],
            end: End::Keep,
        };
        let is_tenth = number % 10 == 9;
        match self {
            Self::Steady => Reply {
                before_head: millis(20),
                ..plain
            },
            Self::Bimodal => {
                let slow = number % 20 == 19;
                Reply {
                    before_head: millis(if slow { 200 } else { 5 }),
                    ..plain
                }
            }
            Self::Errors if is_tenth => Reply {
                status: 500,
                ..plain
            },
            Self::Bucket if number % 4 == 3 => Reply {
                status: 429,
                ..plain
            },
            Self::SlowBody => Reply {
                before_piece: millis(150),
                ..plain
            },
            Self::Reset if is_tenth => Reply {
                end: End::Reset,
                ..plain
            },
            Self::Cut if is_tenth => Reply {
                end: End::Cut,
                ..plain
            },
            Self::Wrong if is_tenth => Reply {
                pieces: vec!["something else".into()],
                ..plain
            },
            Self::Stream => Reply {
                before_piece: millis(40),
                pieces: (0..5)
                    .map(|event| format!("data: {event} {RIGHT}\n\n"))
                    .collect(),
                ..plain
            },
            // The time in the queue is the server's: see there.
            Self::Queue => Reply {
                before_head: QUEUE_SERVICE,
                ..plain
            },
            Self::Close => Reply {
                end: End::Close,
                ..plain
            },
            Self::Redirect => Reply {
                status: 302,
                pieces: Vec::new(),
                ..plain
            },
            _ => plain,
        }
    }
}

/// Time that the one server of [`Probe::Queue`] takes.
pub const QUEUE_SERVICE: Duration = Duration::from_millis(20);
