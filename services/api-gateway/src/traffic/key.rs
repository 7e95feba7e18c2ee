//! What makes two requests the same.

use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};
use touchstone_identity::{Caller, CallerKind};
use touchstone_types::{Role, TenantId, UserId};

use crate::layers::Exchange;

/// Headers by which answers of ours may differ. An answer that names others in `Vary` is checked
/// against its own request.
const SELECTING: [HeaderName; 3] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE];

/// Two requests with the same key get the same answer.
///
/// The scope of the authorization is part of it, so that nobody reads what somebody else was
/// answered; the epoch is part of it, so that a write makes all that was answered before unfindable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    method: Method,
    path: Box<str>,
    query: Box<str>,
    body: Option<[u8; 32]>,
    headers: Box<[u8]>,
    scope: Scope,
    epoch: u64,
}

/// On whose behalf a request is made, and what that may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Scope {
    tenant: TenantId,
    user: UserId,
    role: Role,
    by_api_key: bool,
}

impl Scope {
    fn of(caller: &Caller) -> Self {
        Self {
            tenant: caller.tenant,
            user: caller.user,
            role: caller.role,
            by_api_key: caller.kind == CallerKind::ApiKey,
        }
    }
}

impl Key {
    /// The key of a request whose body, if it has one, is `body`.
    pub fn new(
        exchange: &Exchange,
        parts: &Parts,
        body: Option<&[u8]>,
        caller: &Caller,
        epoch: u64,
    ) -> Self {
        Self {
            method: parts.method.clone(),
            path: exchange.path.as_str().into(),
            query: sorted(parts.uri.query().unwrap_or_default()).into(),
            body: body.map(|body| Sha256::digest(body).into()),
            headers: selecting(parts),
            scope: Scope::of(caller),
            epoch,
        }
    }

    /// The key of a question: how its answer is to be sent makes no difference.
    pub fn of_question(question: &Value, caller: &Caller, epoch: u64) -> Self {
        let mut question = question.clone();
        if let Some(fields) = question.as_object_mut() {
            fields.remove("stream");
        }
        // Objects keep their fields in the order of their names.
        let digest = Sha256::digest(question.to_string());
        Self {
            method: Method::POST,
            path: "/ask".into(),
            query: "".into(),
            body: Some(digest.into()),
            headers: Box::default(),
            scope: Scope::of(caller),
            epoch,
        }
    }

    /// Roughly what it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.path.len() + self.query.len() + self.headers.len()
    }
}

fn selecting(parts: &Parts) -> Box<[u8]> {
    let mut text = Vec::new();
    for name in &SELECTING {
        for value in parts.headers.get_all(name) {
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.push(0);
    }
    text.into()
}

/// The parameters in the order of their names; those of one name keep their order, which may mean
/// something.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_by_key(|pair| pair.split('=').next().unwrap_or_default());
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use touchstone_identity::RequestContext;
    use uuid::Uuid;

    use super::*;
    use crate::routes::table;

    fn caller(tenant: u128, user: u128, role: Role, kind: CallerKind) -> Caller {
        Caller {
            tenant: TenantId::from_uuid(Uuid::from_u128(tenant)),
            user: UserId::from_uuid(Uuid::from_u128(user)),
            role,
            kind,
            context: RequestContext::background("test"),
        }
    }

    fn key(uri: &str, body: Option<&[u8]>, caller: &Caller, epoch: u64) -> Key {
        let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        let (route, path) = table::find(parts.uri.path()).unwrap();
        let exchange = Exchange {
            route,
            path: path.to_owned(),
            class: route.class,
        };
        Key::new(&exchange, &parts, body, caller, epoch)
    }

    #[test]
    fn whatever_may_change_the_answer_changes_the_key() {
        let user = |tenant, user| caller(tenant, user, Role::Member, CallerKind::User);
        let keys = HashSet::from([
            key("/search?q=1", None, &user(1, 1), 1),
            key("/search?q=2", None, &user(1, 1), 1),
            key("/search?q=1&q=2", None, &user(1, 1), 1),
            key("/search?q=2&q=1", None, &user(1, 1), 1),
            key("/documents?q=1", None, &user(1, 1), 1),
            key("/search?q=1", Some(b""), &user(1, 1), 1),
            key("/search?q=1", Some(b"x"), &user(1, 1), 1),
            key("/search?q=1", None, &user(2, 1), 1),
            key("/search?q=1", None, &user(1, 2), 1),
            key("/search?q=1", None, &user(1, 1), 2),
            key(
                "/search?q=1",
                None,
                &caller(1, 1, Role::Admin, CallerKind::User),
                1,
            ),
            key(
                "/search?q=1",
                None,
                &caller(1, 1, Role::Member, CallerKind::ApiKey),
                1,
            ),
        ]);
        assert_eq!(keys.len(), 12);
    }

    #[test]
    fn the_order_of_parameters_and_the_base_path_make_no_difference() {
        let user = caller(1, 1, Role::Member, CallerKind::User);
        assert_eq!(
            key("/api/v1/search?b=2&a=1&a=0&", None, &user, 1),
            key("/search?a=1&a=0&b=2", None, &user, 1)
        );
    }

    #[test]
    fn how_an_answer_is_sent_makes_no_difference_to_the_question() {
        let user = caller(1, 1, Role::Member, CallerKind::User);
        let key = |text: &str| {
            let question = serde_json::from_str(text).unwrap();
            Key::of_question(&question, &user, 1)
        };
        let plain = key(r#"{"question":"x","limit":3}"#);
        assert_eq!(plain, key(r#"{"limit":3, "stream":true,"question":"x"}"#));
        assert_ne!(plain, key(r#"{"limit":4,"question":"x"}"#));
    }

    proptest! {
        #[test]
        fn nobody_shares_a_key_with_another_tenant(
            first: u128, second: u128, user: u128, query in "[a-z=&]{0,12}", body: Option<Vec<u8>>
        ) {
            prop_assume!(first != second);
            let uri = format!("/search?{query}");
            let of = |tenant| {
                let caller = caller(tenant, user, Role::Member, CallerKind::User);
                key(&uri, body.as_deref(), &caller, 1)
            };
            prop_assert_ne!(of(first), of(second));
            prop_assert_eq!(of(first), of(first));
        }
    }
}
