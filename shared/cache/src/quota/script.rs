//! The scripts that the server runs: one trip for all windows of a request.

use std::sync::Arc;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use touchstone_resilience::Instant;
use touchstone_resilience::gcra::{Standing, Verdict};

use super::policy::{Algorithm, Policy, Rule, gcra, strict};
use super::replay::{Ages, Job};
use crate::redis::{Connection, Error};

/// The scripts, ready to be sent.
#[derive(Debug)]
pub(super) struct Scripts {
    charge: Script,
    refund: Script,
    replay: Script,
    beat: Script,
}

/// What the server answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It decided.
    Decided(Reply),
    /// Its state is not the one that the replica knows.
    Lost,
    /// By its clock, which is told, the caller has stopped waiting.
    Late(Instant),
}

/// A decision of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub admitted: bool,
    pub window: usize,
    pub wait: Option<Duration>,
    pub granted: u64,
    /// The server's clock.
    pub now: Instant,
    pub born: Vec<u64>,
    pub standings: Arc<[Standing]>,
}

impl Reply {
    pub fn verdict(&self) -> Verdict {
        if self.admitted {
            return Verdict::Admitted;
        }
        Verdict::Denied {
            window: self.window,
            retry_after: self.wait,
        }
    }
}

/// Names of the keys of one store.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Keys of a subject lie in one slot of a cluster: the part in braces chooses it.
    fn of(&self, subject: &str, scope: &str) -> String {
        format!("{}:quota:{{{subject}}}:{scope}", self.prefix)
    }

    fn replicas(&self) -> String {
        format!("{}:quota:replicas", self.prefix)
    }
}

impl Scripts {
    pub fn new() -> Self {
        let with_state = |text: &str| Script::new(&[include_str!("lua/state.lua"), text].concat());
        Self {
            charge: with_state(include_str!("lua/charge.lua")),
            refund: with_state(include_str!("lua/refund.lua")),
            replay: with_state(include_str!("lua/replay.lua")),
            beat: Script::new(include_str!("lua/beat.lua")),
        }
    }

    /// Charges `least` to `most` units, as many as there are, unless it is past `deadline` on the
    /// server's clock (0: never). `now` is for tests: 0 is the server's clock.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the script")]
    pub async fn charge(
        &self,
        connection: &Connection,
        keys: &Keys,
        subject: &str,
        policy: &Policy,
        (least, most): (u64, u64),
        born: &[u64],
        (now, deadline): (Instant, Instant),
    ) -> Result<Answer, Error> {
        let mut call = self.charge.prepare_invoke();
        call.arg(now.as_micros())
            .arg(letter(policy.algorithm))
            .arg(deadline.as_micros())
            .arg(least)
            .arg(most);
        let known = born.iter().copied().chain(std::iter::repeat(0));
        for (rule, born) in policy.rules().iter().zip(known) {
            call.key(keys.of(subject, &rule.scope));
            describe(&mut call, policy.algorithm, rule, born);
        }
        let reply: Vec<i64> = connection.script(&call).await?;
        Ok(read(&reply, policy))
    }

    /// Gives back units of a charge that was made at `charged_at`.
    pub async fn refund(
        &self,
        connection: &Connection,
        keys: &Keys,
        subject: &str,
        policy: &Policy,
        (charged_at, units): (Instant, u64),
        now: Instant,
    ) -> Result<u64, Error> {
        let mut call = self.refund.prepare_invoke();
        call.arg(now.as_micros())
            .arg(letter(policy.algorithm))
            .arg(charged_at.as_micros())
            .arg(units);
        for rule in policy.rules() {
            call.key(keys.of(subject, &rule.scope));
            describe(&mut call, policy.algorithm, rule, 0);
        }
        connection.script(&call).await
    }

    /// Adds what a replica admitted by itself; answers when each rule's state was made.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the script")]
    pub async fn replay(
        &self,
        connection: &Connection,
        keys: &Keys,
        subject: &str,
        algorithm: Algorithm,
        replica: &str,
        job: &Job,
        older_by: u64,
    ) -> Result<Vec<u64>, Error> {
        let longest = job.rules.iter().flat_map(|rule| &rule.rule.windows);
        let longest = longest
            .map(|window| window.period)
            .max()
            .unwrap_or_default();
        let mut call = self.replay.prepare_invoke();
        call.arg(0u64).arg(letter(algorithm)).arg(job.epoch).arg(
            u64::try_from(longest.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
        );
        for rule in &job.rules {
            call.key(keys.of(subject, &rule.rule.scope));
            describe(&mut call, algorithm, &rule.rule, rule.born);
        }
        call.key(keys.of(subject, &format!("epoch:{replica}")));
        for (lacking, whole) in job.rules.iter().flat_map(|rule| &rule.windows) {
            list(&mut call, lacking, older_by);
            list(&mut call, whole, older_by);
        }
        let reply: Vec<u64> = connection.script(&call).await?;
        Ok(reply.get(1..).unwrap_or_default().to_vec())
    }

    /// Tells that the replica lives, or that it leaves; answers how many live.
    pub async fn beat(
        &self,
        connection: &Connection,
        keys: &Keys,
        replica: &str,
        lifetime: Duration,
        stays: bool,
    ) -> Result<u64, Error> {
        let mut call = self.beat.prepare_invoke();
        call.key(keys.replicas())
            .arg(replica)
            .arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
            .arg(u8::from(stays));
        connection.script(&call).await
    }
}

const fn letter(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Strict => "s",
        Algorithm::Gcra => "g",
    }
}

fn describe(call: &mut ScriptInvocation<'_>, algorithm: Algorithm, rule: &Rule, born: u64) {
    call.arg(born).arg(rule.windows.len());
    for window in &rule.windows {
        let step = match algorithm {
            Algorithm::Strict => strict(window).part_micros(),
            Algorithm::Gcra => gcra(window).emission_micros(),
        };
        let period = u64::try_from(window.period.as_micros()).unwrap_or(u64::MAX);
        call.arg(period)
            .arg(step)
            .arg(window.limit)
            .arg(window.burst);
    }
}

fn list(call: &mut ScriptInvocation<'_>, ages: &Ages, older_by: u64) {
    call.arg(ages.len());
    for (age, units) in ages {
        call.arg(age + older_by).arg(*units);
    }
}

fn read(reply: &[i64], policy: &Policy) -> Answer {
    let number = |place: usize| {
        let number = reply.get(place).copied().unwrap_or_default();
        u64::try_from(number).unwrap_or_default()
    };
    match reply.first() {
        Some(2) => return Answer::Lost,
        Some(3) => return Answer::Late(Instant::from_micros(number(4))),
        _ => {}
    }
    let wait = reply.get(2).copied().unwrap_or_default();
    let rules = policy.rules().len();
    let standings = 0..policy.windows().count();
    let standings = standings.map(|position| Standing {
        remaining: number(5 + rules + 2 * position),
        reset: Duration::from_micros(number(6 + rules + 2 * position)),
    });
    Answer::Decided(Reply {
        admitted: number(0) == 1,
        window: usize::try_from(number(1)).unwrap_or_default(),
        wait: u64::try_from(wait).ok().map(Duration::from_micros),
        granted: number(3),
        now: Instant::from_micros(number(4)),
        born: (0..rules).map(|rule| number(5 + rule)).collect(),
        standings: standings.collect(),
    })
}

#[cfg(test)]
mod tests;
