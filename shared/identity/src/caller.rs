use std::sync::Arc;
use std::time::{Duration, Instant};

use touchstone_types::{Role, TenantId, UserId};

use crate::Error;

/// Who makes a request, and within which request. Passed explicitly to every domain call and
/// every client call; there is no ambient identity.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The wall around the caller's data.
    pub tenant: TenantId,
    /// The person or program; nil for background work of a service.
    pub user: UserId,
    /// What the user may do.
    pub role: Role,
    /// Which credential was shown.
    pub kind: CallerKind,
    /// The request.
    pub context: RequestContext,
}

/// Which credential a caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// An access token.
    User,
    /// An API key.
    ApiKey,
    /// A service's token, of the service named.
    Service(Arc<str>),
}

/// What a request carries from hop to hop.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Request id.
    pub request_id: Arc<str>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// When the answer is worthless.
    pub deadline: Option<Instant>,
}

impl RequestContext {
    /// A context for work that no request caused.
    pub fn background(request_id: impl Into<Arc<str>>) -> Self {
        Self {
            request_id: request_id.into(),
            traceparent: None,
            deadline: None,
        }
    }

    /// Time left; `None` without a deadline, zero when it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The same context with a deadline no later than `timeout` from now.
    pub fn within(&self, timeout: Duration) -> Self {
        let own = Instant::now() + timeout;
        let deadline = self.deadline.map_or(own, |deadline| deadline.min(own));
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }
}

impl Caller {
    /// A service at its own background work for `tenant`.
    pub fn service(name: impl Into<Arc<str>>, tenant: TenantId) -> Self {
        let name = name.into();
        Self {
            tenant,
            user: UserId::from_uuid(uuid::Uuid::nil()),
            role: Role::Admin,
            context: RequestContext::background(format!("background-{name}")),
            kind: CallerKind::Service(name),
        }
    }

    /// Whether a service acts, for itself or on behalf of a user.
    pub const fn is_service(&self) -> bool {
        matches!(self.kind, CallerKind::Service(_))
    }

    /// Whether a service works by itself, and nobody waits for the answer.
    pub fn is_background(&self) -> bool {
        self.is_service() && self.user == UserId::from_uuid(uuid::Uuid::nil())
    }

    /// Refuses everybody but the tenant's administrators and services.
    pub fn require_admin(&self) -> Result<(), Error> {
        if self.role == Role::Admin || self.is_service() {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }

    /// Refuses everybody but services.
    pub fn require_service(&self) -> Result<(), Error> {
        if self.is_service() {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }

    /// The same caller with a deadline no later than `timeout` from now.
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            context: self.context.within(timeout),
            ..self.clone()
        }
    }
}
