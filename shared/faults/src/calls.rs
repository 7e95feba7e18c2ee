use std::fmt;
use std::future::Future;

use axum::body::Body;
use http::{Request, Response};
use touchstone_lifecycle::HangUp;

use crate::apply::{Before, Done, before};
use crate::fault::Target;
use crate::scope::Scope;
use crate::{Plane, Point, Side};

/// Who makes a call, for those that no request is behind.
#[derive(Clone, Copy, Debug)]
pub struct CalledBy(pub &'static str);

/// The faults of calls to one service.
#[derive(Clone)]
pub struct Calls {
    plane: Plane,
    callee: std::sync::Arc<str>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calls").field(&self.callee).finish()
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum Called<E> {
    /// By itself.
    Ended(Result<Response<Body>, E>),
    /// The connection was reset.
    Reset,
    /// No connection was made.
    Refused,
}

impl Calls {
    /// Of calls to `callee`.
    pub fn new(plane: Plane, callee: &str) -> Self {
        Self {
            plane,
            callee: callee.into(),
        }
    }

    /// Makes a call, unless a fault has something against it.
    pub async fn around<E, F>(
        &self,
        mut request: Request<Body>,
        call: impl FnOnce(Request<Body>) -> F,
    ) -> Called<E>
    where
        F: Future<Output = Result<Response<Body>, E>>,
    {
        let scope = Scope::current();
        let site = match (&scope, request.extensions().get::<CalledBy>()) {
            (Some(scope), _) => Some(scope.site().clone()),
            (None, Some(CalledBy(from))) => self.plane.known(from),
            (None, None) => None,
        };
        let mut hits = Vec::new();
        let target = Target::of(&request);
        if let Some(site) = site {
            let callee = Some(&*self.callee);
            hits = site.hits(Side::Client, callee, &target);
            if let Some(scope) = &scope {
                hits.extend(scope.asked(Point::Request, Side::Client, callee));
                scope.hand_on(request.headers_mut());
            }
        }
        let after = match before(hits, &target).await {
            Before::Go(after) => after,
            Before::Answer(answer) => return Called::Ended(Ok(answer)),
            Before::Reset => return Called::Reset,
            Before::Refuse => return Called::Refused,
        };
        let answer = match call(request).await {
            // A service of this process has no connection that it could reset.
            Ok(answer) if answer.extensions().get::<HangUp>().is_some() => return Called::Reset,
            Ok(answer) => answer,
            Err(error) => return Called::Ended(Err(error)),
        };
        match after.apply(answer) {
            Done::Answer(answer) => Called::Ended(Ok(answer)),
            Done::Reset => Called::Reset,
        }
    }
}
