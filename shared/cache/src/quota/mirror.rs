//! What one replica knows of a subject whose quota the server counts.
//!
//! It remembers every unit that this replica had charged or admitted by itself (`own`), and of those
//! the ones that the server does not have (`lacking`). From the first it decides while the server is
//! away, and restores the server's state should that be lost; the second is what it owes.

use std::sync::Arc;
use std::time::Duration;

use touchstone_resilience::Instant;
use touchstone_resilience::gcra::{Standing, Verdict};
use touchstone_resilience::lease::{self, Lease};

use super::book::{Idle, Scopes, part_micros};
use super::policy::{Algorithm, Away, Policy, Rule};
use super::replay::Job;
use super::script::Reply;
use super::{Decision, Receipt, Tier};

/// Charges within one part of the shortest window after which a subject is hot.
const HOT: u32 = 3;
/// A lease that was asked for and never came, because its request was dropped.
const LEASE_LOST: Duration = Duration::from_secs(1);
/// Longest lease.
const LEASE_TERM: Duration = Duration::from_secs(1);
/// Longest wait that a share tells: the server may be back long before the window has passed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Longest time for which a denial is not asked about again: another replica may have given back what
/// it had charged in advance.
const DENIED_MOST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    own: Scopes,
    lacking: Scopes,
    rules: Vec<Known>,
    groups: Vec<(Arc<str>, Group)>,
    epoch: u64,
    /// A replay whose answer is not there yet; sent again as it is.
    sending: Option<Job>,
}

/// What the server last said of a rule.
#[derive(Debug)]
struct Known {
    rule: Rule,
    /// When the server's state was made; 0 when it has none.
    born: u64,
    seen: Instant,
    /// Units that each window had left.
    left: Vec<u64>,
    /// Units that were admitted here since, without the server.
    since: u64,
}

/// What is remembered per policy.
#[derive(Debug, Default)]
struct Group {
    lease: Option<Leased>,
    /// Leases that another one took the place of before they were spent.
    replaced: Vec<Leased>,
    denied: Option<Denied>,
    standings: Arc<[Standing]>,
    standings_at: Instant,
    /// Charges in a part of the shortest window.
    recent: (u64, u32),
    asked_for_lease: Option<Instant>,
}

/// A lease, and what giving back its rest needs.
#[derive(Debug)]
struct Leased {
    lease: Lease,
    receipt: Receipt,
    policy: Policy,
}

/// The rest of a lease that ended.
#[derive(Debug)]
pub(super) struct Rest {
    pub policy: Policy,
    pub receipt: Receipt,
    pub units: u64,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    /// This cost, and any above, is denied.
    cost: u64,
    window: usize,
    /// `None`: always, under these limits.
    until: Option<Instant>,
    /// When the server is asked again, although that is not over.
    believed_until: Instant,
}

/// What to do about a charge.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing more.
    Decided(Decision),
    /// Ask the server.
    Ask(Ask),
}

/// A question to the server.
#[derive(Debug)]
pub(super) struct Ask {
    /// Most units to charge.
    pub most: u64,
    /// When each rule's state was made, if losing it must be noticed.
    pub born: Vec<u64>,
    /// The rest of a lease that ended.
    pub rest: Option<Rest>,
}

impl Idle for Mirror {
    fn is_idle(&self, now: Instant) -> bool {
        self.sending.is_none() && self.own.is_idle(now)
    }
}

impl Mirror {
    /// Decides by what was charged or denied before, else says what to ask.
    pub fn before(&mut self, policy: &Policy, now: Instant, cost: u64, replicas: u64) -> Next {
        let born = self.born(policy, now);
        let shortest = policy.windows().map(|window| window.period).min();
        let part = now.as_micros() / part_micros(shortest.unwrap_or_default());
        let group = self.group(policy);
        if let Some(receipt) = group.spend(now, cost) {
            return Next::Decided(Decision {
                verdict: Verdict::Admitted,
                receipt: Some(receipt),
                standings: Arc::clone(&group.standings),
                tier: Tier::Lease,
            });
        }
        if let Some(denied) = group.denied {
            match denied.until {
                Some(until) if until.min(denied.believed_until) <= now => group.denied = None,
                until if cost >= denied.cost => {
                    let retry_after = until.map(|until| until.since(now));
                    return Next::Decided(group.remembered(denied.window, retry_after, now));
                }
                _ => {}
            }
        }
        let rest = group.rest(now);
        group.recent = match group.recent {
            (known, count) if known == part => (part, count.saturating_add(1)),
            _ => (part, 1),
        };
        // The server may have charged one whose answer did not come: only an answer tells what is left.
        let told = group.standings_at;
        let waiting = group
            .asked_for_lease
            .is_some_and(|at| now.since(at) < LEASE_LOST || told <= at);
        let mut most = cost;
        if policy.leases && group.recent.1 > HOT && group.lease.is_none() && !waiting {
            let extra = group.extra(policy, replicas);
            if extra > 0 {
                most += extra;
                group.asked_for_lease = Some(now);
            }
        }
        Next::Ask(Ask { most, born, rest })
    }

    /// Takes the server's answer over.
    pub fn after(
        &mut self,
        policy: &Policy,
        asked_at: Instant,
        now: Instant,
        cost: u64,
        reply: &Reply,
    ) -> Decision {
        if reply.granted > 0 {
            self.own.with_rings(policy, |strict, rings| {
                strict.debit(rings, now, reply.granted);
            });
        }
        self.know(policy, now, reply);
        let receipt = Receipt {
            here: now,
            there: Some(reply.now),
        };
        let lease_term = lease_term(policy, reply.now);
        let group = self.group(policy);
        group.standings = Arc::clone(&reply.standings);
        group.standings_at = now;
        let verdict = reply.verdict();
        // A lease that came while this question was under way.
        if !verdict.is_admitted()
            && let Some(receipt) = group.spend(now, cost)
        {
            return Decision {
                verdict: Verdict::Admitted,
                receipt: Some(receipt),
                standings: Arc::clone(&reply.standings),
                tier: Tier::Lease,
            };
        }
        if let Verdict::Denied {
            window,
            retry_after,
        } = verdict
        {
            group.denied = Some(Denied {
                cost,
                window,
                until: retry_after.map(|wait| asked_at + wait),
                believed_until: asked_at + DENIED_MOST,
            });
            group.asked_for_lease = None;
        } else {
            group.denied = None;
            let extra = reply.granted.saturating_sub(cost);
            if extra > 0 {
                // Its end as of before the question: it never outlives its part at the server.
                let before = group.lease.replace(Leased {
                    lease: Lease::new(extra, now, asked_at + lease_term),
                    receipt,
                    policy: policy.clone(),
                });
                group.replaced.extend(before);
                group.asked_for_lease = None;
            }
        }
        Decision {
            receipt: verdict.is_admitted().then_some(receipt),
            verdict,
            standings: Arc::clone(&reply.standings),
            tier: Tier::Server,
        }
    }

    /// Decides without the server.
    pub fn alone(&mut self, policy: &Policy, now: Instant, cost: u64, replicas: u64) -> Decision {
        let replicas = match policy.away {
            Away::Whole => 1,
            Away::Share | Away::Closed => replicas.max(1),
        };
        let share = policy.share(replicas);
        let mut rings = self.own.rings(policy);
        let spent = self.spent_share(policy, now, cost, replicas);
        let verdict = match spent {
            Some(denied) => denied,
            None => share.decide(&mut rings, now, cost),
        };
        let verdict = match verdict {
            Verdict::Admitted => {
                self.own.keep_rings(policy, &rings);
                self.lacking.with_rings(policy, |strict, lacking| {
                    strict.debit(lacking, now, cost);
                });
                for known in self.rules.iter_mut().filter(|known| known.is_of(policy)) {
                    known.since += cost;
                }
                Verdict::Admitted
            }
            Verdict::Denied {
                window,
                retry_after,
            } => {
                let fits = policy
                    .window(window)
                    .is_some_and(|window| cost <= u64::from(window.limit));
                // More than the share, and not more than the limit: the server may admit it.
                let wait = retry_after.or_else(|| fits.then_some(LONGEST_WAIT));
                Verdict::Denied {
                    window,
                    retry_after: wait.map(|wait| wait.min(LONGEST_WAIT)),
                }
            }
        };
        let standings = 0..policy.windows().count();
        let standings = standings.map(|position| share.standing(&rings, now, position));
        Decision {
            receipt: verdict.is_admitted().then_some(Receipt {
                here: now,
                there: None,
            }),
            verdict,
            standings: standings.collect(),
            tier: Tier::Share,
        }
    }

    /// What the other replicas spent until the server was last heard counts as well: of what was left
    /// then, each replica spends its share, until a whole period has passed.
    fn spent_share(
        &self,
        policy: &Policy,
        now: Instant,
        cost: u64,
        replicas: u64,
    ) -> Option<Verdict> {
        let mut position = 0;
        for rule in policy.rules() {
            let known = self.rules.iter().find(|known| known.rule == *rule);
            for (place, window) in rule.windows.iter().enumerate() {
                let left = known.and_then(|known| Some((known, *known.left.get(place)?)));
                if let Some((known, left)) = left
                    && now.since(known.seen) < window.period
                    && known.since + cost > share_of(left, window.limit, replicas)
                {
                    return Some(Verdict::Denied {
                        window: position,
                        retry_after: Some((known.seen + window.period).since(now)),
                    });
                }
                position += 1;
            }
        }
        None
    }

    /// The rests of all leases that ended.
    pub fn rests(&mut self, now: Instant) -> Vec<Rest> {
        let groups = self.groups.iter_mut();
        groups
            .flat_map(|(_, group)| std::iter::from_fn(|| group.rest(now)))
            .collect()
    }

    /// Whether there is a lease.
    pub fn is_leased(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|(_, group)| group.lease.is_some() || !group.replaced.is_empty())
    }

    /// Gives back units of an earlier charge, here.
    pub fn refund(&mut self, policy: &Policy, receipt: Receipt, units: u64) {
        for (_, group) in &mut self.groups {
            // There may be enough now; what never passes still does not.
            group.denied.take_if(|denied| denied.until.is_some());
        }
        self.own.with_rings(policy, |strict, rings| {
            strict.refund(rings, receipt.here, units);
        });
        if receipt.there.is_none() {
            self.lacking.with_rings(policy, |strict, rings| {
                strict.refund(rings, receipt.here, units);
            });
        }
    }

    /// Forgets what was taken under other limits.
    pub fn limits_changed(&mut self) {
        self.groups.clear();
    }

    /// When the server's state of each rule was made, for those where losing it would matter.
    pub fn born(&self, policy: &Policy, now: Instant) -> Vec<u64> {
        let of = |rule: &Rule| {
            let counts = self.own.get(&rule.scope)?;
            let known = self.rules.iter().find(|k| k.rule.scope == rule.scope)?;
            (!counts.is_idle(now)).then_some(known.born)
        };
        policy
            .rules()
            .iter()
            .map(|rule| of(rule).unwrap_or(0))
            .collect()
    }

    /// What to send so that the server has all that this replica admitted.
    pub fn job(&mut self, now: Instant) -> Option<Job> {
        if self.sending.is_none() {
            self.epoch += 1;
            let job = Job::new(
                self.epoch,
                self.rules.iter().map(|known| (&known.rule, known.born)),
                &self.own,
                &self.lacking,
                now,
            )?;
            self.lacking = Scopes::default();
            self.sending = Some(job);
        }
        self.sending.clone()
    }

    /// The server has what the job said.
    pub fn done(&mut self, job: &Job, born: &[u64]) {
        // Another one may be under way by now.
        self.sending.take_if(|sending| sending.epoch == job.epoch);
        for (scope, born) in job.scopes().zip(born) {
            let known = self
                .rules
                .iter_mut()
                .find(|known| known.rule.scope == *scope);
            if let Some(known) = known {
                // What is left stays as it was last told: less what was admitted since.
                known.born = *born;
            }
        }
    }

    /// Whether the server lacks something.
    pub fn owes(&self, now: Instant) -> bool {
        self.sending.is_some() || !self.lacking.is_idle(now)
    }

    /// Notes the rules of a policy that the server has not been asked about yet.
    pub fn note_rules(&mut self, policy: &Policy, now: Instant) {
        for rule in policy.rules() {
            match self.rules.iter_mut().find(|k| k.rule.scope == rule.scope) {
                Some(known) if known.rule == *rule => {}
                Some(known) => {
                    known.rule = rule.clone();
                    known.left.clear();
                }
                None => self.rules.push(Known {
                    rule: rule.clone(),
                    born: 0,
                    seen: now,
                    left: Vec::new(),
                    since: 0,
                }),
            }
        }
    }

    fn know(&mut self, policy: &Policy, now: Instant, reply: &Reply) {
        self.note_rules(policy, now);
        let mut standings = reply.standings.iter();
        for (rule, born) in policy.rules().iter().zip(&reply.born) {
            let left = standings.by_ref().take(rule.windows.len());
            let left: Vec<u64> = left.map(|standing| standing.remaining).collect();
            if let Some(known) = self.rules.iter_mut().find(|k| k.rule.scope == rule.scope) {
                known.born = *born;
                known.seen = now;
                known.left = left;
                known.since = 0;
            }
        }
    }

    fn group(&mut self, policy: &Policy) -> &mut Group {
        let place = self
            .groups
            .iter()
            .position(|(name, _)| *name == policy.name);
        let place = place.unwrap_or_else(|| {
            self.groups
                .push((Arc::clone(&policy.name), Group::default()));
            self.groups.len() - 1
        });
        &mut self.groups[place].1
    }
}

impl Known {
    fn is_of(&self, policy: &Policy) -> bool {
        policy
            .rules()
            .iter()
            .any(|rule| rule.scope == self.rule.scope)
    }
}

impl Group {
    /// Spends units of the lease.
    fn spend(&mut self, now: Instant, cost: u64) -> Option<Receipt> {
        let leased = self.lease.as_mut()?;
        leased.lease.spend(now, cost).then_some(leased.receipt)
    }

    /// Ends a lease that can be spent no more, or has no place; what goes back of it.
    fn rest(&mut self, now: Instant) -> Option<Rest> {
        let ended = self.lease.take_if(|leased| leased.lease.left(now) == 0);
        self.replaced.extend(ended);
        while let Some(ended) = self.replaced.pop() {
            let (_, units) = ended.lease.rest();
            if units > 0 {
                return Some(Rest {
                    policy: ended.policy,
                    receipt: ended.receipt,
                    units,
                });
            }
        }
        None
    }

    /// A denial that still holds.
    fn remembered(&self, window: usize, retry_after: Option<Duration>, now: Instant) -> Decision {
        let elapsed = now.since(self.standings_at);
        let standings = self.standings.iter().map(|standing| Standing {
            reset: standing.reset.saturating_sub(elapsed),
            ..*standing
        });
        Decision {
            verdict: Verdict::Denied {
                window,
                retry_after,
            },
            standings: standings.collect(),
            tier: Tier::Remembered,
            receipt: None,
        }
    }

    /// Units to charge in advance: an eighth of a replica's share, and less and less as the limit
    /// comes near, so that no replica sits on what another one needs.
    fn extra(&self, policy: &Policy, replicas: u64) -> u64 {
        let by_limit = policy
            .windows()
            .map(|window| lease::size(window.limit.into(), replicas))
            .min();
        let left = self.standings.iter().map(|standing| standing.remaining);
        let by_rest = left.min().map(|left| left / (4 * replicas.max(1)));
        by_limit.unwrap_or(0).min(by_rest.unwrap_or(0))
    }
}

/// What one replica may spend of what was left. Of a limit below the number of replicas each has one
/// while one is left, lest nobody lets anybody through.
fn share_of(left: u64, limit: u32, replicas: u64) -> u64 {
    if u64::from(limit) < replicas {
        left.min(1)
    } else {
        left / replicas
    }
}

/// How long a lease that is charged at `there` may live: to the end of the part.
fn lease_term(policy: &Policy, there: Instant) -> Duration {
    let whole = match policy.algorithm {
        Algorithm::Strict => policy.strict().part_end(there).since(there),
        Algorithm::Gcra => {
            let shortest = policy.windows().map(|window| window.period).min();
            shortest.unwrap_or_default() / 12
        }
    };
    // Others may need what is not spent here.
    whole.min(LEASE_TERM)
}

#[cfg(test)]
mod tests;
