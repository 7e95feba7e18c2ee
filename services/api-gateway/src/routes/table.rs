//! Which path belongs to which service.

use http::Method;
use touchstone_resilience::Class as Priority;

use crate::config::{Classes, Limits};

/// Where the services' paths are, besides those at the root.
pub(crate) const BASE: &str = "/api/v1";

/// What a request of a route may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Auth,
    Read,
    Search,
    Generate,
    Upload,
    Vectors,
}

impl Class {
    /// How dear it is when there is too much work.
    pub const fn priority(self) -> Priority {
        match self {
            Self::Auth => Priority::Critical,
            Self::Read | Self::Search => Priority::Interactive,
            Self::Generate => Priority::Stream,
            Self::Upload | Self::Vectors => Priority::Batch,
        }
    }

    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Auth,
        Self::Read,
        Self::Search,
        Self::Generate,
        Self::Upload,
        Self::Vectors,
    ];

    /// The name in the configuration, in metrics and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Read => "read",
            Self::Search => "search",
            Self::Generate => "generate",
            Self::Upload => "upload",
            Self::Vectors => "vectors",
        }
    }

    pub const fn limits(self, classes: &Classes) -> Limits {
        match self {
            Self::Auth => classes.auth,
            Self::Read => classes.read,
            Self::Search => classes.search,
            Self::Generate => classes.generate,
            Self::Upload => classes.upload,
            Self::Vectors => classes.vectors,
        }
    }
}

/// A path and everything below it.
#[derive(Debug)]
pub(crate) struct Route {
    /// The path, as the service knows it.
    pub prefix: &'static str,
    /// The service.
    pub service: &'static str,
    /// The class of its requests that have a body.
    pub class: Class,
    /// Whether the path is at the root too, for the clients that expect it there.
    pub at_root: bool,
    /// Whether answers to reads are kept, to stand in for a service that fails.
    pub cached: bool,
}

const fn at_root(prefix: &'static str, service: &'static str, class: Class) -> Route {
    Route {
        prefix,
        service,
        class,
        at_root: true,
        cached: false,
    }
}

const fn under_base(prefix: &'static str, service: &'static str, class: Class) -> Route {
    Route {
        prefix,
        service,
        class,
        at_root: false,
        cached: false,
    }
}

/// The same route, with answers to reads that are kept.
const fn cached(route: Route) -> Route {
    Route {
        cached: true,
        ..route
    }
}

/// Every route; no prefix lies below another.
pub(crate) const ROUTES: &[Route] = &[
    at_root("/auth", "auth", Class::Auth),
    at_root("/.well-known/jwks.json", "auth", Class::Auth),
    cached(at_root("/documents", "document", Class::Upload)),
    under_base("/dead-letters", "document", Class::Read),
    under_base("/embeddings", "embedding", Class::Vectors),
    at_root("/v1/embeddings", "embedding", Class::Vectors),
    cached(under_base("/models", "model", Class::Vectors)),
    cached(under_base("/collections", "vector", Class::Vectors)),
    cached(at_root("/search", "retrieval", Class::Search)),
    at_root("/ask", "generation", Class::Generate),
    under_base("/generate", "generation", Class::Generate),
    cached(under_base("/providers", "generation", Class::Read)),
    cached(under_base("/conversations", "generation", Class::Read)),
    at_root("/v1/chat", "generation", Class::Generate),
    under_base("/stats", "analytics", Class::Read),
    cached(at_root("/v1/models", "generation", Class::Read)),
    cached(at_root("/channels", "telegram", Class::Read)),
    at_root("/files", "telegram", Class::Read),
    under_base("/media", "telegram", Class::Read),
];

/// Paths that need no credential; their services judge what the body shows.
const PUBLIC: &[&str] = &[
    "/auth/register",
    "/auth/login",
    "/auth/refresh",
    "/auth/logout",
    "/auth/validate",
    "/.well-known/jwks.json",
];

/// The route of a public path, and the path as its service knows it.
pub(crate) fn find(path: &str) -> Option<(&'static Route, &str)> {
    let below = path.strip_prefix(BASE).filter(|rest| rest.starts_with('/'));
    let inner = below.unwrap_or(path);
    let route = ROUTES.iter().find(|route| covers(route.prefix, inner))?;
    (below.is_some() || route.at_root).then_some((route, inner))
}

/// What log and metrics call the routes.
#[derive(Debug)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    route: &'static Route,
    base: [String; 2],
    root: [String; 2],
}

impl Patterns {
    /// Of every route.
    pub fn new() -> Self {
        let both = |base: &str, prefix: &str| {
            [
                format!("{base}{prefix}"),
                format!("{base}{prefix}/{{*rest}}"),
            ]
        };
        let pattern = |route: &'static Route| Pattern {
            route,
            base: both(BASE, route.prefix),
            root: both("", route.prefix),
        };
        Self(ROUTES.iter().map(pattern).collect())
    }

    /// The pattern of a path that is forwarded.
    pub fn find(&self, path: &str) -> Option<&str> {
        let (route, inner) = find(path)?;
        let rest = inner.len() - route.prefix.len();
        // A slash with nothing behind it is no path of a service.
        let below = match rest {
            0 => 0,
            1 => return None,
            _ => 1,
        };
        let pattern = self
            .0
            .iter()
            .find(|pattern| std::ptr::eq(pattern.route, route))?;
        let patterns = if inner.len() < path.len() {
            &pattern.base
        } else {
            &pattern.root
        };
        Some(&patterns[below])
    }
}

/// Where the specification shows a service's path; `None` when it is not public at all.
pub(crate) fn documented(service: &str, inner: &str) -> Option<String> {
    let route = ROUTES.iter().find(|route| covers(route.prefix, inner))?;
    if route.service != service {
        return None;
    }
    // What foreign clients call has its place at the root.
    let foreign = inner.starts_with("/v1/") || inner.starts_with("/.well-known/");
    Some(if foreign {
        inner.to_owned()
    } else {
        format!("{BASE}{inner}")
    })
}

/// Whether the path, as its service knows it, needs no credential.
pub(crate) fn is_public(inner: &str) -> bool {
    PUBLIC.contains(&inner)
}

/// The class of a request.
pub(crate) fn class_of(route: &Route, method: &Method) -> Class {
    let reads = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE
    );
    match route.class {
        Class::Upload | Class::Vectors | Class::Generate if reads => Class::Read,
        class => class,
    }
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(&'static str, &str)> {
        find(path).map(|(route, inner)| (route.service, inner))
    }

    #[test]
    fn paths_lead_to_their_services() {
        assert_eq!(
            found("/api/v1/documents/7/chunks"),
            Some(("document", "/documents/7/chunks"))
        );
        assert_eq!(found("/documents"), Some(("document", "/documents")));
        assert_eq!(found("/api/v1/models/x"), Some(("model", "/models/x")));
        assert_eq!(found("/v1/models"), Some(("generation", "/v1/models")));
        assert_eq!(
            found("/api/v1/v1/embeddings"),
            Some(("embedding", "/v1/embeddings"))
        );
    }

    #[test]
    fn what_is_not_listed_leads_nowhere() {
        for path in [
            "/",
            "/models",
            "/collections/x",
            "/documentsx",
            "/api/v1",
            "/api/v1/",
            "/metrics",
            "/api/v1documents",
            "/api/v1/metrics",
            "/api/v1/ready",
            "/api/v1/documents%2F7x/..",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn paths_are_known_by_their_patterns() {
        let patterns = Patterns::new();
        for (path, pattern) in [
            (
                "/api/v1/documents/7/chunks",
                Some("/api/v1/documents/{*rest}"),
            ),
            ("/documents", Some("/documents")),
            ("/documents/", None),
            ("/api/v1/search", Some("/api/v1/search")),
            ("/docs", None),
        ] {
            assert_eq!(patterns.find(path), pattern, "{path}");
        }
    }

    #[test]
    fn no_prefix_lies_below_another() {
        for (place, route) in ROUTES.iter().enumerate() {
            for (other_place, other) in ROUTES.iter().enumerate() {
                assert!(place == other_place || !covers(route.prefix, other.prefix));
            }
        }
    }

    #[test]
    fn only_what_makes_callers_is_public() {
        assert!(is_public("/auth/login") && is_public("/.well-known/jwks.json"));
        assert!(!is_public("/auth/me") && !is_public("/auth/login/x") && !is_public("/documents"));
    }
}
