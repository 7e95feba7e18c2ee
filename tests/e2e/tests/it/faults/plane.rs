//! A client of the fault plane of one service, and a client that counts what happened to it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use touchstone_faults::{Overview, Page, STRUCK, Shown, Strike};
use touchstone_stack::Service;

use crate::support::client::PATIENCE;
use crate::support::{Deployment, Servers};

pub const KEY: &str = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";

/// A stack whose faults can be asked for.
pub async fn stack() -> Deployment {
    Deployment::with(|loader| loader.set("stack.faults.admin_key", KEY)).await
}

/// The same as a process per service on real servers.
pub async fn processes(servers: &Servers) -> Deployment {
    let mut environment = servers.environment();
    let key = ("FAULT_ADMIN_KEY".to_owned(), KEY.to_owned());
    environment.all.push(key);
    Deployment::on(environment).await
}

/// The faults of one service.
pub struct Plane {
    http: Client,
    base: String,
}

impl Plane {
    pub fn of(stack: &Deployment, service: Service) -> Self {
        Self::at(&stack.url(service))
    }

    pub fn at(url: &str) -> Self {
        Self {
            http: http(),
            base: format!("{url}/admin/faults"),
        }
    }

    /// The one of another service, by way of this one's.
    pub fn beyond(&self, service: &str) -> Self {
        Self {
            http: self.http.clone(),
            base: format!("{}/at/{service}", self.base),
        }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("x-fault-key", KEY);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn ask(&self, spec: Value) -> u64 {
        let (status, shown) = self.call(Method::POST, "", Some(spec)).await;
        assert_eq!(status, 201, "{shown}");
        shown["id"].as_u64().unwrap()
    }

    pub async fn shown(&self, id: u64) -> Shown {
        let (_, shown) = self.call(Method::GET, &format!("/{id}"), None).await;
        serde_json::from_value(shown).unwrap()
    }

    pub async fn overview(&self) -> Overview {
        let (_, overview) = self.call(Method::GET, "", None).await;
        serde_json::from_value(overview).unwrap()
    }

    pub async fn clear(&self, id: u64) -> Shown {
        let (_, shown) = self.call(Method::DELETE, &format!("/{id}"), None).await;
        serde_json::from_value(shown).unwrap()
    }

    /// What a fault struck.
    pub async fn strikes(&self, id: u64) -> Vec<Strike> {
        let mut strikes = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/log?after={after}");
            let (_, page) = self.call(Method::GET, &path, None).await;
            let page: Page = serde_json::from_value(page).unwrap();
            assert_eq!(page.forgotten, 0);
            if page.strikes.is_empty() {
                return strikes;
            }
            after = page.next;
            strikes.extend(page.strikes.into_iter().filter(|strike| strike.fault == id));
        }
    }

    /// Waits until a fault has struck so often.
    pub async fn struck(&self, id: u64, often: u64) {
        let began = Instant::now();
        while self.shown(id).await.struck < often {
            assert!(began.elapsed() < PATIENCE, "fault {id} does not strike");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Those that were struck by a fault of this share and seed are those that the seed foretells.
pub async fn foretold(plane: &Plane, id: u64) -> Shown {
    let shown = plane.shown(id).await;
    let strikes = plane.strikes(id).await;
    let struck: BTreeSet<u64> = strikes.iter().map(|strike| strike.number).collect();
    let is_struck =
        |number: &u64| touchstone_faults::is_struck(shown.seed, shown.spec.share, *number);
    let expected: BTreeSet<u64> = (0..shown.matched).filter(is_struck).collect();
    assert_eq!(struck, expected, "{shown:?}");
    assert_eq!(shown.struck, strikes.len() as u64, "{shown:?}");
    shown
}

pub fn http() -> Client {
    Client::builder().timeout(PATIENCE).build().unwrap()
}

/// What came of a request.
#[derive(Debug)]
pub enum Seen {
    Answer {
        status: StatusCode,
        struck: Vec<String>,
        content_type: String,
        retry_after: Option<String>,
        cache_status: String,
        took: Duration,
        body: Vec<u8>,
    },
    /// The head came, the body did not.
    BrokenBody,
    /// Nothing came.
    NoAnswer,
}

impl Seen {
    pub fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => status.as_u16(),
            Self::BrokenBody | Self::NoAnswer => 0,
        }
    }

    /// Whether it was answered from what is kept.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Answer { cache_status, .. } if cache_status.contains("hit"))
    }

    pub fn body(&self) -> &[u8] {
        match self {
            Self::Answer { body, .. } => body,
            Self::BrokenBody | Self::NoAnswer => &[],
        }
    }

    pub fn says_struck(&self, kind: &str) -> bool {
        matches!(self, Self::Answer { struck, .. } if struck.iter().any(|own| own == kind))
    }
}

pub async fn see(request: RequestBuilder) -> Seen {
    let began = Instant::now();
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            assert!(!error.is_timeout(), "{error:?}");
            return Seen::NoAnswer;
        }
    };
    let text = |name: &str| {
        let value = answer.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let (content_type, retry_after) = (text("content-type"), text("retry-after"));
    let cache_status = text("cache-status").unwrap_or_default();
    let struck = answer.headers().get_all(STRUCK).iter();
    let struck = struck
        .map(|kind| kind.to_str().unwrap().to_owned())
        .collect();
    let status = answer.status();
    match answer.bytes().await {
        Ok(body) => Seen::Answer {
            status,
            struck,
            content_type: content_type.unwrap_or_default(),
            retry_after,
            cache_status,
            took: began.elapsed(),
            body: body.to_vec(),
        },
        Err(error) => {
            assert!(!error.is_timeout(), "{error:?}");
            Seen::BrokenBody
        }
    }
}

/// Asks for a fault of `share`, sends `requests` one after the other, and holds what the client saw
/// against what the fault says that it struck, and against what its seed foretells.
pub async fn prove(
    plane: &Plane,
    spec: Value,
    requests: u64,
    mut request: impl FnMut() -> RequestBuilder,
    is_struck: impl Fn(&Seen) -> bool,
) {
    let (share, seed) = (0.25, 4711);
    let mut asked = json!({"share": share, "seed": seed, "path": "/documents"});
    let members = asked.as_object_mut().unwrap();
    members.extend(spec.as_object().unwrap().clone());
    let id = plane.ask(asked).await;
    let name = |number: u64| format!("{}-{number}", spec["kind"].as_str().unwrap());
    let (mut seen, mut foretold) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..requests {
        let sent = request().header("x-request-id", name(number));
        if is_struck(&see(sent).await) {
            seen.insert(name(number));
        }
        if touchstone_faults::is_struck(seed, share, number) {
            foretold.insert(name(number));
        }
    }
    let after = plane.clear(id).await;
    let strikes = plane.strikes(id).await;
    let logged: BTreeSet<_> = strikes
        .iter()
        .map(|strike| strike.request_id.clone())
        .collect();
    assert_eq!(seen, logged, "what the client saw and the log of {spec}");
    assert_eq!(logged, foretold, "the log and the seed of {spec}");
    assert_eq!(
        strikes.len(),
        logged.len(),
        "each request was struck once: {spec}"
    );
    assert_eq!(
        (after.matched, after.struck),
        (requests, strikes.len() as u64)
    );
    assert!(!seen.is_empty() && (seen.len() as u64) < requests);
    // It is over.
    for number in 0..8 {
        let sent = request().header("x-request-id", name(requests + number));
        assert!(!is_struck(&see(sent).await), "{spec} goes on");
    }
    assert_eq!(plane.strikes(id).await, strikes);
}
