//! One shard: its share of the users and of the arrivals, on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pacer::Pacer;
use super::plan::{Load, Phase, Plan, Think};
use super::work::{Turn, Work};
use crate::arrivals::{Profile, Random, Schedule};
use crate::measure::Recorder;

/// Streams of draws of users are kept apart from those of schedules by this bit.
const USERS: u64 = 1 << 63;
/// How often the shard looks how late it is woken.
const BEAT: Duration = Duration::from_millis(10);

/// Which share of the work is this one's.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Number of the shard.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Share {
    const fn has(self, number: u64) -> bool {
        number % self.of == self.index
    }

    /// How much of a whole number is this one's.
    const fn part(self, whole: u64) -> u64 {
        whole / self.of + if self.index < whole % self.of { 1 } else { 0 }
    }
}

/// Lanes that nobody uses at the moment.
type Lanes<L> = Rc<RefCell<Vec<L>>>;

/// Everything that the tasks of a shard use.
pub(super) struct Shard<W: Work> {
    pub plan: Rc<Plan>,
    pub share: Share,
    pub work: Rc<W>,
    pub recorder: Recorder,
    pub stop: CancellationToken,
    pub lanes: Lanes<W::Lane>,
}

impl<W: Work> Clone for Shard<W> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            share: self.share,
            work: Rc::clone(&self.work),
            recorder: self.recorder.clone(),
            stop: self.stop.clone(),
            lanes: Rc::clone(&self.lanes),
        }
    }
}

/// What a shard is given.
pub struct Duty<W: Work> {
    /// What the run consists of.
    pub plan: Rc<Plan>,
    /// Which share of it is this shard's.
    pub share: Share,
    /// What iterations do.
    pub work: Rc<W>,
    /// Who writes down.
    pub recorder: Recorder,
    /// Who waits for moments.
    pub pacer: Pacer,
    /// When the first phase begins.
    pub begin: Instant,
    /// Ends everything early.
    pub stop: CancellationToken,
}

impl<W: Work> std::fmt::Debug for Duty<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duty")
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

/// Does a shard's share of a plan; runs in a `LocalSet`. `phases` is told which phase has begun.
pub async fn drive<W: Work>(duty: Duty<W>, phases: impl Fn(usize)) {
    let Duty {
        plan,
        share,
        work,
        recorder,
        pacer,
        begin,
        stop,
    } = duty;
    let shard = Shard {
        plan: Rc::clone(&plan),
        share,
        work,
        recorder,
        stop: stop.clone(),
        lanes: Lanes::default(),
    };
    let beat = tokio::task::spawn_local(beat(shard.recorder.clone()));
    let mut tasks = JoinSet::new();
    let mut begun = begin;
    tokio::time::sleep_until(begun).await;
    for (number, phase) in plan.phases.iter().enumerate() {
        if stop.is_cancelled() {
            break;
        }
        phases(number);
        let ended = shard
            .phase(number as u16, phase, begun, &pacer, &mut tasks)
            .await;
        begun = ended;
    }
    let rest = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(plan.drain, rest).await;
    tasks.shutdown().await;
    beat.abort();
}

/// Records how late this thread is woken.
async fn beat(recorder: Recorder) {
    loop {
        let due = Instant::now() + BEAT;
        tokio::time::sleep_until(due).await;
        // A timer fires in the millisecond after its time at the earliest: that is no lateness.
        let late = Instant::now().saturating_duration_since(due);
        recorder.lag(late.saturating_sub(Duration::from_millis(1)));
    }
}

impl<W: Work> Shard<W> {
    /// Does one phase and tells when the next one begins.
    async fn phase(
        &self,
        number: u16,
        phase: &Phase,
        begun: Instant,
        pacer: &Pacer,
        tasks: &mut JoinSet<()>,
    ) -> Instant {
        match &phase.load {
            Load::Open {
                profile,
                burstiness,
            } => {
                let opened = self.open(number, profile, *burstiness, begun, pacer, tasks);
                self.stop.run_until_cancelled(opened).await;
                begun + profile.duration()
            }
            Load::Closed {
                users,
                spawn_rate,
                think,
                duration,
            } => {
                let end = begun + *duration;
                let mut own = JoinSet::new();
                for user in (0..*users).filter(|user| self.share.has(*user)) {
                    let wait = spawn_rate.map_or(Duration::ZERO, |rate| {
                        Duration::from_secs_f64(user as f64 / rate)
                    });
                    let task = self.clone().user(number, user, begun + wait, end, *think);
                    own.spawn_local(task);
                }
                // What a user has begun counts to its end; the next phase waits for nobody.
                self.stop
                    .run_until_cancelled(tokio::time::sleep_until(end))
                    .await;
                while let Some(finished) = own.try_join_next() {
                    drop(finished);
                }
                tasks.spawn_local(async move { while own.join_next().await.is_some() {} });
                end
            }
            Load::Count { requests, users } => {
                let left = Rc::new(Cell::new(self.share.part(*requests)));
                let mut own = JoinSet::new();
                for user in (0..*users).filter(|user| self.share.has(*user)) {
                    own.spawn_local(self.clone().counted(number, user, Rc::clone(&left)));
                }
                while own.join_next().await.is_some() {}
                Instant::now()
            }
        }
    }

    async fn open(
        &self,
        phase: u16,
        profile: &Profile,
        burstiness: f64,
        begun: Instant,
        pacer: &Pacer,
        tasks: &mut JoinSet<()>,
    ) {
        let room = (self.plan.in_flight / self.share.of as usize).max(1);
        let schedule = Schedule::new(profile, burstiness, self.plan.seed, u64::from(phase));
        let mut since_yield = 0;
        for arrival in schedule.filter(|arrival| self.share.has(arrival.number)) {
            let due = begun + arrival.at;
            let now = Instant::now();
            if due > now {
                pacer.until(due).await;
                since_yield = 0;
            } else {
                // Behind: what is under way gets its turn all the same.
                since_yield += 1;
                if since_yield % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            while tasks.try_join_next().is_some() {}
            self.recorder.due();
            self.recorder
                .lag(Instant::now().saturating_duration_since(due));
            if tasks.len() >= room {
                self.recorder.dropped(phase);
                continue;
            }
            let turn = Turn {
                phase,
                user: arrival.number,
                number: arrival.number,
                draw: arrival.draw,
                intended: due.into_std(),
            };
            tasks.spawn_local(self.clone().request(turn));
        }
        pacer.until(begun + profile.duration()).await;
    }

    async fn request(self, turn: Turn) {
        let _active = self.recorder.active();
        let mut lane = self.take_lane();
        self.work.run(turn, &mut lane, &self.recorder).await;
        self.lanes.borrow_mut().push(lane);
    }

    fn take_lane(&self) -> W::Lane {
        let idle = self.lanes.borrow_mut().pop();
        idle.unwrap_or_else(|| self.work.lane())
    }

    async fn user(self, phase: u16, user: u64, begin: Instant, end: Instant, think: Think) {
        tokio::time::sleep_until(begin.min(end)).await;
        let _active = self.recorder.active();
        let mut random = Random::new(self.plan.seed, USERS | (u64::from(phase) << 40) | user);
        let mut lane = self.take_lane();
        let mut number = 0;
        while Instant::now() < end && !self.stop.is_cancelled() {
            self.iterate(phase, user, number, &mut random, &mut lane)
                .await;
            number += 1;
            let pause = think.draw(&mut random);
            if pause.is_zero() {
                // A client that never waits must not starve those of its thread.
                tokio::task::consume_budget().await;
            } else {
                let until = (Instant::now() + pause).min(end);
                let pause = tokio::time::sleep_until(until);
                self.stop.run_until_cancelled(pause).await;
            }
        }
        self.lanes.borrow_mut().push(lane);
    }

    async fn counted(self, phase: u16, user: u64, left: Rc<Cell<u64>>) {
        let _active = self.recorder.active();
        let mut random = Random::new(self.plan.seed, USERS | (u64::from(phase) << 40) | user);
        let mut lane = self.take_lane();
        let mut number = 0;
        while left.get() > 0 && !self.stop.is_cancelled() {
            left.set(left.get() - 1);
            self.iterate(phase, user, number, &mut random, &mut lane)
                .await;
            number += 1;
        }
        self.lanes.borrow_mut().push(lane);
    }

    async fn iterate(
        &self,
        phase: u16,
        user: u64,
        number: u64,
        random: &mut Random,
        lane: &mut W::Lane,
    ) {
        let turn = Turn {
            phase,
            user,
            number,
            draw: random.draw(),
            intended: Instant::now().into_std(),
        };
        self.work.run(turn, lane, &self.recorder).await;
    }
}
