//! The layers of a forwarded request, run one after the other.
//!
//! A router copies every service below a layer for each request that passes the layer. Here a layer is
//! a function and a chain of them a list that nobody copies.

use std::pin::Pin;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use touchstone_web::Problem;

use crate::gateway::Gateway;

/// What a layer comes to.
pub(crate) type Outcome<'a> = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'a>>;

/// A layer: does its part before and after the layers that follow.
pub(crate) type Layer = for<'a> fn(&'a Gateway, Request, Next<'a>) -> Outcome<'a>;

/// The layers that follow.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a> {
    gateway: &'a Gateway,
    rest: &'static [Layer],
    last: fn(&'a Gateway, Request) -> Outcome<'a>,
}

impl<'a> Next<'a> {
    /// All of `layers`, and then `last`.
    pub const fn new(
        gateway: &'a Gateway,
        layers: &'static [Layer],
        last: fn(&'a Gateway, Request) -> Outcome<'a>,
    ) -> Self {
        Self {
            gateway,
            rest: layers,
            last,
        }
    }

    /// Runs them; what they refuse is a response.
    pub async fn run(self, request: Request) -> Response {
        let outcome = match self.rest {
            [] => (self.last)(self.gateway, request),
            [first, rest @ ..] => first(self.gateway, request, Self { rest, ..self }),
        };
        outcome.await.unwrap_or_else(Problem::into_response)
    }
}
