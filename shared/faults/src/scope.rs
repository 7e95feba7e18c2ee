//! What a service is doing, for whoever is asked deep inside of it whether a fault strikes.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;

use crate::fault::Target;
use crate::header::Asked;
use crate::site::{Hit, Site};
use crate::{Kind, Plane, Point, Side};

/// How far vectors are behind unless the fault tells.
const BEHIND: Duration = Duration::from_secs(10);

tokio::task_local! {
    static SCOPE: Scope;
}

/// The request that is dealt with in a task.
#[derive(Clone, Debug)]
pub(crate) struct Scope(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    plane: Plane,
    site: Arc<Site>,
    /// None while a service is built.
    target: Option<Target>,
    asked: Option<Asked>,
    /// What was drawn for this request, by fault.
    drawn: Mutex<Vec<(u64, Option<Hit>)>>,
}

impl Scope {
    pub fn of(plane: Plane, site: Arc<Site>, target: Target, asked: Option<Asked>) -> Self {
        Self(Arc::new(Inner {
            plane,
            site,
            target: Some(target),
            asked,
            drawn: Mutex::default(),
        }))
    }

    /// While a service is built.
    pub fn of_nothing(plane: Plane, site: Arc<Site>) -> Self {
        Self(Arc::new(Inner {
            plane,
            site,
            target: None,
            asked: None,
            drawn: Mutex::default(),
        }))
    }

    pub async fn run<F: Future>(self, work: F) -> F::Output {
        SCOPE.scope(self, work).await
    }

    pub fn current() -> Option<Self> {
        SCOPE.try_with(Self::clone).ok()
    }

    pub fn site(&self) -> &Arc<Site> {
        &self.0.site
    }

    pub fn hand_on(&self, headers: &mut HeaderMap) {
        if let Some(asked) = &self.0.asked
            && !self.is_asked_here(asked)
        {
            asked.hand_on(&self.0.plane, headers);
        }
    }

    fn is_asked_here(&self, asked: &Asked) -> bool {
        asked.is_for(self.0.site.service)
    }

    /// What the request has asked for of this kind.
    pub fn asked(&self, point: Point, side: Side, callee: Option<&str>) -> Option<Hit> {
        let (asked, target) = (self.0.asked.as_ref()?, self.0.target.as_ref()?);
        let spec = &asked.spec;
        let is_it = spec.kind.point() == point
            && spec.side == side
            && spec.kind.may_strike(target)
            && spec.callee.as_deref().is_none_or(|own| Some(own) == callee)
            && self.is_asked_here(asked);
        is_it.then(|| self.0.site.hit_by_header(spec, target))
    }

    /// What has struck the request deeper inside than its server.
    pub fn struck(&self) -> Vec<Hit> {
        let drawn = self.0.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.iter().filter_map(|(_, hit)| hit.clone()).collect()
    }

    /// What strikes the request at this point; drawn once per request.
    fn at(&self, point: Point) -> Vec<Hit> {
        let inner = &*self.0;
        let Some(target) = &inner.target else {
            return Vec::new();
        };
        let faults = inner.site.faults();
        if faults.is_empty() && inner.asked.is_none() {
            return Vec::new();
        }
        let mut drawn = inner.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hits = Vec::new();
        let meant = faults.iter().filter(|fault| {
            fault.is_of(point, Side::Server) && fault.matches(&target.method, &target.path)
        });
        for fault in meant {
            let known = drawn.iter().find(|(id, _)| *id == fault.id);
            let hit = match known {
                Some((_, hit)) => hit.clone(),
                None => {
                    let hit = inner.site.hit(fault, Side::Server, target);
                    drawn.push((fault.id, hit.clone()));
                    hit
                }
            };
            hits.extend(hit);
        }
        if inner
            .asked
            .as_ref()
            .is_some_and(|asked| asked.spec.kind.point() == point)
        {
            let known = drawn.iter().find(|(id, _)| *id == 0);
            let hit = match known {
                Some((_, hit)) => hit.clone(),
                None => {
                    let hit = self.asked(point, Side::Server, None);
                    drawn.push((0, hit.clone()));
                    hit
                }
            };
            hits.extend(hit);
        }
        hits
    }
}

fn here(point: Point) -> Vec<Hit> {
    SCOPE.try_with(|scope| scope.at(point)).unwrap_or_default()
}

/// Whether faults can be asked for at all, told to what is opened while a service is built.
pub fn are_possible() -> bool {
    SCOPE.try_with(|_| ()).is_ok()
}

/// How far the clock is off for this request, in milliseconds.
pub(crate) fn skew_ms() -> i64 {
    let hits = here(Point::Clock);
    hits.iter()
        .filter_map(|hit| hit.spec.ms)
        .fold(0, i64::saturating_add)
}

/// Whether a cache must not find what it holds, for this request.
pub fn cache_is_lost() -> bool {
    !here(Point::Cache).is_empty()
}

/// How far behind vectors are that a query may find, for this request; none when they are not.
pub fn vectors_are_behind() -> Option<Duration> {
    let hits = here(Point::Vectors);
    hits.iter().map(|hit| hit.spec.time(BEHIND)).max()
}

/// What happens to a request that wants a connection of the database: it waits. `patience` is how
/// long a connection is waited for at most.
pub async fn before_connection(patience: Duration) {
    for hit in here(Point::Database) {
        let time = match hit.kind() {
            // More than anybody waits.
            Kind::NoConnections => hit.spec.time(patience + Duration::from_secs(1)),
            _ => hit.spec.time(Duration::from_secs(1)),
        };
        hit.wait(time).await;
    }
}
