//! What users do: steps in Rust, and requests that a scenario writes itself.

mod corpus;
mod inline;
mod operator;
mod session;
mod socket;
mod stack;

pub use corpus::{Text, text};
pub use session::{Call, Session};
pub use socket::KeptSocket;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use crate::scenario::{Inline, SocketSpec};

/// A step of a user: one request or several.
///
/// ```
/// use futures_util::FutureExt;
/// use futures_util::future::LocalBoxFuture;
/// use touchstone_load::steps::{Call, Session, Step};
///
/// #[derive(Debug)]
/// struct Front(Vec<String>);
///
/// impl Step for Front {
///     fn name(&self) -> &str {
///         "front"
///     }
///     fn endpoints(&self) -> &[String] {
///         &self.0
///     }
///     fn run<'a>(&'a self, session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
///         async move {
///             let front = Call::get("/").keep();
///             session
///                 .call(0, front, |answer| {
///                     let right = answer.body.starts_with(b"<!doctype html>");
///                     right.then_some(()).ok_or_else(|| "no page".to_owned())
///                 })
///                 .await;
///         }
///         .boxed_local()
///     }
/// }
/// ```
pub trait Step: fmt::Debug + Send + Sync + 'static {
    /// The name under which scenarios use it.
    fn name(&self) -> &str;

    /// The kinds of request that it makes, for reports.
    fn endpoints(&self) -> &[String];

    /// Whether somebody has to be logged in.
    fn needs_account(&self) -> bool {
        false
    }

    /// Whether it is done by whoever runs the target.
    fn needs_operator(&self) -> bool {
        false
    }

    /// Does it once.
    fn run<'a>(&'a self, session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()>;
}

/// Steps by name.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn Step>>);

impl Registry {
    /// The steps of the stack.
    pub fn of_the_stack() -> Self {
        stack::steps().into_iter().fold(Self::default(), Self::with)
    }

    /// One more; takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, step: Arc<dyn Step>) -> Self {
        self.0.insert(step.name().to_owned(), step);
        self
    }

    /// Those that a scenario writes itself.
    pub(crate) fn with_requests(
        mut self,
        requests: &BTreeMap<String, Inline>,
        sockets: &BTreeMap<String, SocketSpec>,
    ) -> Result<Self, String> {
        for (name, request) in requests {
            let step = inline::InlineStep::new(name, request)?;
            self = self.with(Arc::new(step));
        }
        for (name, spec) in sockets {
            let step = socket::SocketStep::new(name, spec)?;
            self = self.with(Arc::new(step));
        }
        Ok(self)
    }

    /// By name.
    pub fn find(&self, name: &str) -> Option<Arc<dyn Step>> {
        self.0.get(name).cloned()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
