use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::retry::may_repeat;
use super::{CallError, Guarded, GuardedFuture, Tried, Watched};
use crate::Rejected;
use crate::decision::{Action, Decision};
use crate::ewma;
use crate::time::Instant;
use crate::upstream::{InstanceSnapshot, Upstream};

/// The instances of an upstream: each call goes to the better of two that were drawn, among those
/// whose breakers let calls pass. Clones share the instances.
#[derive(Debug)]
pub struct Balanced<S> {
    upstream: Upstream,
    instances: Arc<RwLock<Arc<[Guarded<S>]>>>,
}

impl<S> Clone for Balanced<S> {
    fn clone(&self) -> Self {
        Self {
            upstream: self.upstream.clone(),
            instances: Arc::clone(&self.instances),
        }
    }
}

/// The call of [`Balanced`].
pub type BalancedFuture<F, E> = GuardedFuture<F, E>;

impl<S> Balanced<S> {
    /// An upstream with one instance.
    pub fn single(upstream: Upstream, transport: S) -> Self {
        let instance = Guarded::new(upstream.clone(), upstream.instance(None), transport);
        Self::of(upstream, vec![instance])
    }

    /// An upstream in this process: one instance, to which nothing is hedged.
    pub fn local(upstream: Upstream, transport: S) -> Self {
        upstream.set_local();
        Self::single(upstream, transport)
    }

    /// An upstream with named instances.
    pub fn new(upstream: Upstream, instances: impl IntoIterator<Item = (String, S)>) -> Self {
        let guard = |(name, transport): (String, S)| {
            Guarded::new(upstream.clone(), upstream.instance(Some(&name)), transport)
        };
        let instances = instances.into_iter().map(guard).collect();
        Self::of(upstream, instances)
    }

    fn of(upstream: Upstream, instances: Vec<Guarded<S>>) -> Self {
        upstream.set_instances(instances.len());
        Self {
            upstream,
            instances: Arc::new(RwLock::new(instances.into())),
        }
    }

    /// The upstream.
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Replaces the instances; those that stay keep their breakers and loads.
    pub fn update(&self, instances: impl IntoIterator<Item = (String, S)>)
    where
        S: Clone,
    {
        let before = self.instances();
        let upstream = &self.upstream;
        let guard = |(at, transport): (String, S)| {
            let name = format!("{}@{at}", upstream.name());
            let known = before.iter().find(|known| *known.instance().name == *name);
            match known {
                Some(known) => known.clone(),
                None => Guarded::new(upstream.clone(), upstream.instance(Some(&at)), transport),
            }
        };
        let instances: Vec<Guarded<S>> = instances.into_iter().map(guard).collect();
        upstream.set_instances(instances.len());
        *self
            .instances
            .write()
            .unwrap_or_else(PoisonError::into_inner) = instances.into();
    }

    /// The instances as they are now.
    pub fn snapshot(&self) -> Vec<InstanceSnapshot> {
        let now = self.upstream.now();
        let instances = self.instances();
        let snapshots = instances.iter().map(|one| one.instance().snapshot(now));
        snapshots.collect()
    }

    fn instances(&self) -> Arc<[Guarded<S>]> {
        Arc::clone(
            &self
                .instances
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn choose<'a, B>(
        &self,
        instances: &'a [Guarded<S>],
        now: Instant,
        request: &Request<B>,
    ) -> Option<&'a Guarded<S>> {
        // An instance that failed looks slow and would hardly be chosen: its probe is given to a
        // request that another instance can answer if the probe fails.
        let tried = request.extensions().get::<Tried>();
        let is_fresh = |one: &Guarded<S>| tried.is_none_or(|tried| !tried.has(one.instance()));
        if may_repeat(request) {
            let is_due = |one: &&Guarded<S>| one.instance().breaker.probe_is_due(now);
            if let Some(probed) = instances.iter().filter(|one| is_fresh(one)).find(is_due) {
                return Some(probed);
            }
        }
        let cost = |n: usize| {
            let instance = instances[n].instance();
            let is_ready = instance.breaker.is_ready(now);
            is_ready.then(|| instance.load.cost(now))
        };
        let fresh_cost = |n: usize| is_fresh(&instances[n]).then(|| cost(n)).flatten();
        let (count, draws) = (instances.len(), self.upstream.draws());
        // Where this call was before is better than nowhere.
        let chosen =
            ewma::choose(count, draws, fresh_cost).or_else(|| ewma::choose(count, draws, cost))?;
        instances.get(chosen)
    }

    /// Why no instance can be asked.
    fn none_ready<B>(&self, instances: &[Guarded<S>], request: &Request<B>) -> Rejected {
        let upstream = &self.upstream;
        let now = upstream.now();
        let ready_in = |one: &Guarded<S>| one.instance().breaker.ready_in(now);
        let soonest = instances.iter().map(ready_in).min();
        let (rejected, state) = match soonest {
            Some(retry_after) => {
                let upstream = upstream.name();
                let rejected = Rejected::BreakerOpen {
                    upstream,
                    retry_after,
                };
                (rejected, format!("all of {} open", instances.len()))
            }
            None => {
                let upstream = upstream.name();
                (Rejected::NoInstance { upstream }, "no instance".to_owned())
            }
        };
        let decision = Decision::new(now, "breaker", upstream.name(), Action::Rejected, state)
            .holds_for(soonest.unwrap_or_default())
            .request_id(super::request_id(request));
        upstream.tell(decision);
        rejected
    }
}

impl<S, B, R> Service<Request<B>> for Balanced<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: CallError,
    R: Body<Data = Bytes>,
{
    type Response = Response<Watched<R>>;
    type Error = S::Error;
    type Future = BalancedFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let instances = self.instances();
        if let [only] = &*instances {
            // Its breaker answers for itself.
            return only.clone().call(request);
        }
        // Another call may take a probe's place first: then the next best is asked.
        for _ in 0..instances.len() {
            let now = self.upstream.now();
            let Some(chosen) = self.choose(&instances, now, &request) else {
                break;
            };
            if let Ok(permit) = chosen.instance().breaker.admit(now) {
                if let Some(tried) = request.extensions().get::<Tried>() {
                    tried.add(chosen.instance());
                }
                return chosen.clone().call_with(permit, request);
            }
        }
        GuardedFuture::rejected(self.none_ready(&instances, &request))
    }
}
