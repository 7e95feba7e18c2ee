use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use touchstone_telemetry::Metrics;
use touchstone_types::Clock;

use crate::fault::{Fault, Target};
use crate::log::{Log, Page, Strike};
use crate::{Kind, Point, Shown, Side, Spec, State};

/// Faults of a service that are remembered.
const REMEMBERED: usize = 10_000;
/// Faults that may be asked for at a time.
const MOST: usize = 1_000;

/// The faults of one service.
pub(crate) struct Site {
    pub service: &'static str,
    seed: u64,
    began: Instant,
    clock: Arc<dyn Clock>,
    /// Those that wait or strike.
    faults: ArcSwap<Vec<Arc<Fault>>>,
    /// All of them; also whoever changes the list holds this.
    asked: Mutex<Vec<Arc<Fault>>>,
    log: Mutex<Log>,
    /// Ends what requests have asked for themselves.
    headers: Mutex<CancellationToken>,
    struck: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    side: &'static str,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Site").field(&self.service).finish()
    }
}

/// Too many faults at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Site {
    pub fn new(
        service: &'static str,
        seed: u64,
        began: Instant,
        room: usize,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let struck = metrics.scope(service).counter_by(
            "faults_struck",
            "Requests, calls and events that faults struck which were asked for",
        );
        Self {
            service,
            seed,
            began,
            clock,
            faults: ArcSwap::default(),
            asked: Mutex::default(),
            log: Mutex::new(Log::new(room)),
            headers: Mutex::default(),
            struck,
        }
    }

    /// Milliseconds since the plane began.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds faults; all or none.
    pub fn ask(&self, specs: Vec<Spec>) -> Result<Vec<Shown>, TooMany> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = living(&asked);
        if live.len() + specs.len() > MOST {
            return Err(TooMany);
        }
        let mut shown = Vec::new();
        for spec in specs {
            let id = asked.last().map_or(1, |last| last.id + 1);
            // The same requests of the same faults are struck again when everything is repeated.
            let seed = spec.seed.unwrap_or_else(|| self.seed.wrapping_add(id));
            let fault = Arc::new(Fault::new(id, spec, seed, self.began));
            tracing::warn!(
                service = self.service,
                fault = id,
                kind = fault.spec.kind.name(),
                "a fault was asked for: `{}`",
                fault.spec.kind
            );
            shown.push(fault.show());
            live.push(Arc::clone(&fault));
            asked.push(fault);
        }
        forget(&mut asked, REMEMBERED);
        self.faults.store(Arc::new(live));
        Ok(shown)
    }

    /// Takes one back, or all; how many of them waited or struck.
    pub fn clear(&self, id: Option<u64>) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = living(&asked);
        let meant = meant
            .iter()
            .filter(|fault| id.is_none_or(|id| fault.id == id));
        let count = meant.inspect(|fault| fault.clear()).count();
        self.faults.store(Arc::new(living(&asked)));
        drop(asked);
        if id.is_none() {
            let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *headers).cancel();
        }
        count
    }

    /// Every fault that is remembered.
    pub fn show(&self) -> Vec<Shown> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|fault| fault.show()).collect()
    }

    pub fn page(&self, after: u64, limit: usize) -> Page {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.page(after, limit)
    }

    /// The faults that wait or strike; most of the time none.
    pub fn faults(&self) -> arc_swap::Guard<Arc<Vec<Arc<Fault>>>> {
        self.faults.load()
    }

    /// What strikes a request, or a call to `callee`.
    pub fn hits(&self, side: Side, callee: Option<&str>, target: &Target) -> Vec<Hit> {
        let faults = self.faults();
        let struck = faults.iter().filter(|fault| {
            fault.is_of(Point::Request, side)
                && fault
                    .spec
                    .callee
                    .as_deref()
                    .is_none_or(|own| Some(own) == callee)
                && fault.spec.kind.may_strike(target)
                && fault.matches(&target.method, &target.path)
        });
        struck
            .filter_map(|fault| self.hit(fault, side, target))
            .collect()
    }

    /// Draws, and writes down what was struck.
    pub fn hit(&self, fault: &Arc<Fault>, side: Side, target: &Target) -> Option<Hit> {
        let number = fault.draw()?;
        self.note(fault.id, fault.spec.kind, side, number, target);
        Some(Hit {
            spec: Arc::new(fault.spec.clone()),
            word: fault.word(number),
            end: End::Fault(Arc::clone(fault)),
        })
    }

    /// What a request has asked for itself.
    pub fn hit_by_header(&self, spec: &Arc<Spec>, target: &Target) -> Hit {
        self.note(0, spec.kind, spec.side, 0, target);
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        Hit {
            spec: Arc::clone(spec),
            word: crate::draw::word(spec.seed.unwrap_or(self.seed), 0),
            end: End::Header(headers.clone()),
        }
    }

    /// What strikes an event.
    pub fn event(&self, topic: &str, id: &str) -> Vec<Hit> {
        let faults = self.faults();
        let meant = faults.iter().filter(|fault| {
            fault.is_of(Point::Event, Side::Server)
                && fault.spec.topic.as_deref().is_none_or(|own| own == topic)
        });
        let target = Target {
            id: id.to_owned(),
            method: http::Method::default(),
            path: topic.to_owned(),
            has_token: false,
        };
        meant
            .filter_map(|fault| self.hit(fault, Side::Server, &target))
            .collect()
    }

    fn note(&self, fault: u64, kind: Kind, side: Side, number: u64, target: &Target) {
        let labels = Labels {
            kind: kind.name(),
            side: side.name(),
        };
        self.struck.get_or_create(&labels).inc();
        let method = match kind.point() {
            Point::Event => String::new(),
            _ => target.method.to_string(),
        };
        let (at_ms, at) = (self.now_ms(), self.clock.now().to_rfc3339());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(|seq| Strike {
            seq,
            fault,
            kind,
            side,
            service: self.service.to_owned(),
            number,
            at_ms,
            at,
            request_id: target.id.clone(),
            method,
            path: target.path.clone(),
        });
    }
}

fn lives(fault: &Fault) -> bool {
    matches!(fault.state(), State::Waiting | State::Active)
}

fn living(asked: &[Arc<Fault>]) -> Vec<Arc<Fault>> {
    asked.iter().filter(|fault| lives(fault)).cloned().collect()
}

/// Forgets the oldest of those that are over: whoever forgot one that strikes could not end it.
fn forget(asked: &mut Vec<Arc<Fault>>, room: usize) {
    let mut surplus = asked.len().saturating_sub(room);
    asked.retain(|fault| {
        let goes = surplus > 0 && !lives(fault);
        surplus -= usize::from(goes);
        !goes
    });
}

/// A fault that strikes something.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub spec: Arc<Spec>,
    /// Fixed by the seed.
    pub word: u64,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    Fault(Arc<Fault>),
    Header(CancellationToken),
}

impl Hit {
    pub fn kind(&self) -> Kind {
        self.spec.kind
    }

    /// Resolves when the fault is over.
    pub async fn over(&self) {
        match &self.end {
            End::Fault(fault) => fault.over().await,
            End::Header(cleared) => cleared.cancelled().await,
        }
    }

    /// Waits so long, or until the fault is over.
    pub async fn wait(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.over()).await;
    }
}

#[cfg(test)]
mod tests {
    use touchstone_types::SystemClock;

    use super::*;

    fn site() -> Site {
        let (clock, began) = (Arc::new(SystemClock), Instant::now());
        Site::new("sample", 1, began, 10, clock, &Metrics::new())
    }

    fn lasting(for_ms: Option<u64>) -> Spec {
        Spec {
            for_ms,
            ..Spec::new(Kind::Delay)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_that_strikes_is_never_forgotten() {
        let site = site();
        let first = site.ask(vec![lasting(None)]).unwrap()[0].id;
        let rounds = REMEMBERED.div_ceil(MOST - 1) + 1;
        for _ in 0..rounds {
            site.ask(vec![lasting(Some(5)); MOST - 1]).unwrap();
            assert_eq!(site.ask(vec![lasting(None)]), Err(TooMany));
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        let shown = site.show();
        assert_eq!((shown.len(), shown[0].id), (REMEMBERED, first));
        let target = Target::of(&http::Request::new(()));
        assert_eq!(site.hits(Side::Server, None, &target).len(), 1);
        // Of all that are remembered only this one was there to be taken back.
        assert_eq!(site.clear(None), 1);
        assert!(site.hits(Side::Server, None, &target).is_empty());
        assert_eq!(site.show()[0].state, State::Cleared);
        assert_eq!(site.clear(None), 0);
    }

    #[tokio::test]
    async fn the_numbers_of_faults_go_on() {
        let site = site();
        let one = site.ask(vec![lasting(None); 2]).unwrap();
        assert_eq!(site.clear(Some(one[0].id)), 1);
        let other = site.ask(vec![lasting(None)]).unwrap();
        assert_eq!([one[0].id, one[1].id, other[0].id], [1, 2, 3]);
        assert_eq!(site.clear(None), 2);
    }
}
