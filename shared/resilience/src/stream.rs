//! Health of a stream: its start, its longest silence and its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::time::Instant;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All of it came.
    Complete,
    /// The upstream broke off.
    BrokenOff,
    /// The caller left.
    CallerLeft,
}

/// What is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A first frame that takes longer is slow.
    #[serde(with = "humantime_serde")]
    pub slow_start: Duration,
    /// A silence between frames that takes longer counts as a failure.
    #[serde(with = "humantime_serde")]
    pub stall: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slow_start: Duration::from_secs(5),
            stall: Duration::from_secs(30),
        }
    }
}

/// Watches one answer, streamed or not.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    config: Config,
    started: Instant,
    first: Option<Instant>,
    last: Instant,
    longest_gap: Duration,
}

impl Stream {
    /// The request is sent.
    pub const fn start(config: Config, now: Instant) -> Self {
        Self {
            config,
            started: now,
            first: None,
            last: now,
            longest_gap: Duration::ZERO,
        }
    }

    /// A frame came; the time to the first frame, if this is it.
    pub fn frame(&mut self, now: Instant) -> Option<Duration> {
        if self.first.is_some() {
            self.longest_gap = self.longest_gap.max(now.since(self.last));
            self.last = now;
            return None;
        }
        self.first = Some(now);
        self.last = now;
        Some(now.since(self.started))
    }

    /// Longest silence between frames so far.
    pub const fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// What the stream says about its upstream.
    ///
    /// A caller that leaves says nothing before the first frame. After it, the upstream had
    /// answered, and the answer was good as far as it was wanted.
    pub fn end(&self, now: Instant, end: End) -> Outcome {
        let Some(first) = self.first else {
            return match end {
                End::BrokenOff => Outcome::FAILURE,
                End::CallerLeft => Outcome::Neutral,
                End::Complete => self.started_as(now),
            };
        };
        let stalled = self.longest_gap.max(now.since(self.last)) > self.config.stall;
        if end == End::BrokenOff || stalled {
            return Outcome::FAILURE;
        }
        self.started_as(first)
    }

    fn started_as(&self, first: Instant) -> Outcome {
        if first.since(self.started) > self.config.slow_start {
            Outcome::Slow
        } else {
            Outcome::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn stream(frames: &[u64], end: (u64, End)) -> Outcome {
        let mut stream = Stream::start(Config::default(), at(0));
        for second in frames {
            stream.frame(at(*second));
        }
        stream.end(at(end.0), end.1)
    }

    #[test]
    fn starts_gaps_and_ends_are_judged() {
        for (frames, end, outcome) in [
            (&[1, 2, 3][..], (3, End::Complete), Outcome::Success),
            (&[6, 7], (7, End::Complete), Outcome::Slow),
            (&[1, 2], (2, End::BrokenOff), Outcome::FAILURE),
            (&[1, 32], (33, End::Complete), Outcome::FAILURE),
            (&[1], (40, End::CallerLeft), Outcome::FAILURE),
            (&[1, 2], (3, End::CallerLeft), Outcome::Success),
            (&[], (3, End::CallerLeft), Outcome::Neutral),
            (&[], (3, End::BrokenOff), Outcome::FAILURE),
            (&[], (3, End::Complete), Outcome::Success),
        ] {
            assert_eq!(stream(frames, end), outcome, "{frames:?} {end:?}");
        }
    }

    #[test]
    fn the_first_frame_tells_its_time() {
        let mut stream = Stream::start(Config::default(), at(1));
        assert_eq!(stream.frame(at(3)), Some(Duration::from_secs(2)));
        assert_eq!(stream.frame(at(7)), None);
        assert_eq!(stream.longest_gap(), Duration::from_secs(4));
    }
}
