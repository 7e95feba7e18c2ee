//! Sets of error responses for `#[utoipa::path(responses(...))]`, so that every route documents
//! the same errors in the same words.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::PROBLEM_JSON;

type Responses = BTreeMap<String, RefOr<Response>>;

fn problems(statuses: &[(&str, &str)]) -> Responses {
    let response = |description: &str| {
        let schema = Ref::from_schema_name(touchstone_api::Problem::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        RefOr::T(
            ResponseBuilder::new()
                .description(description)
                .content(PROBLEM_JSON, content)
                .build(),
        )
    };
    statuses
        .iter()
        .map(|(status, text)| ((*status).to_owned(), response(text)))
        .collect()
}

macro_rules! response_sets {
    ($($(#[$doc:meta])* $name:ident = [$(($status:literal, $text:literal)),+ $(,)?]),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                problems(&[$(($status, $text)),+])
            }
        }
    )+};
}

response_sets! {
    /// What any route may answer.
    CommonErrors = [
        ("429", "Too many requests"),
        ("500", "Internal error"),
        ("503", "A dependency is away or overloaded"),
        ("504", "The deadline passed"),
    ],
    /// What a route for known callers may answer.
    CallerErrors = [
        ("401", "No credential that holds"),
        ("403", "Not allowed"),
        ("429", "Too many requests"),
        ("500", "Internal error"),
        ("503", "A dependency is away or overloaded"),
        ("504", "The deadline passed"),
    ],
    /// What a route with a body may answer.
    BodyErrors = [
        ("400", "The body cannot be read"),
        ("413", "The body is too large"),
        ("415", "The body is of a type that is not read here"),
        ("422", "The body is against the rules"),
    ],
    /// What a route with query parameters may answer.
    QueryErrors = [("400", "The query cannot be read"), ("422", "The query is against the rules")],
    /// What a route with an id may answer.
    IdErrors = [("404", "Nothing there for this caller")],
    /// What a route that creates or changes may answer.
    ConflictErrors = [("409", "The present state forbids it")],
    /// What a route that stores may answer.
    StorageErrors = [("507", "The disk is full")],
}
