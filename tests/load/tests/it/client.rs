//! HTTP/1.1 and HTTP/2 against a server of the field.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, Version};
use axum::routing::{get, post};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use touchstone_load::report::Report;
use touchstone_load::runner::{Options, run};
use touchstone_load::scenario::{Overrides, Prepared, Scenario};
use touchstone_load::steps::Registry;

fn router() -> Router {
    Router::new()
        .route("/ready", get(|| async { "yes" }))
        .route(
            "/version",
            get(|version: Version| async move { format!("{version:?}") }),
        )
        .route("/echo", post(|body: String| async move { body }))
        .route("/json", get(|| async { r#"{"a":{"b":[1,2]}}"# }))
        .route(
            "/busy",
            get(|| async {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    [("retry-after", "1")],
                    "later",
                )
            }),
        )
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
}

async fn measured(requests: &str, http2: bool, sheds: bool) -> Report {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let names: Vec<String> = requests
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[requests.")?.strip_suffix(']'))
        .filter(|name| !name.contains('.'))
        .map(|name| format!("{{ step = \"{name}\" }}"))
        .collect();
    let text = format!(
        "name = \"own\"\nabout = \"Of the tests.\"\nsheds = {sheds}\n\
         objectives = [\"errors = 0\"]\n[[phases]]\nname = \"all\"\n\
         load = {{ kind = \"count\", requests = 200, users = 10 }}\n\
         [[classes]]\nname = \"all\"\nsteps = [{}]\n{requests}",
        names.join(", ")
    );
    let scenario = Scenario::parse("own", &text).unwrap();
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        ".".as_ref(),
    )
    .unwrap();
    let options = Options {
        shards: Some(2),
        http2,
        ..Options::plain(format!("http://{address}"))
    };
    let over = CancellationToken::new();
    let served =
        axum::serve(listener, router()).with_graceful_shutdown(over.clone().cancelled_owned());
    let load = async {
        let report = run(prepared, &options, CancellationToken::new(), |_| {}, |_| {}).await;
        over.cancel();
        report.unwrap()
    };
    let local = LocalSet::new();
    let both = async { tokio::join!(Box::pin(load), std::future::IntoFuture::into_future(served)) };
    let (report, served) = Box::pin(local.run_until(both)).await;
    served.unwrap();
    report
}

const RIGHT: &str = r#"
    [requests.echo]
    method = "POST"
    path = "/echo"
    body = "number {n} of {user}"
    [requests.echo.expect]
    contains = "number "
    [requests.json]
    path = "/json"
    [requests.json.expect]
    json = { "/a/b/1" = 2 }
"#;

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
        let requests = format!(
            "{RIGHT}\n[requests.version]\npath = \"/version\"\n[requests.version.expect]\ncontains = \"{version}\"\n"
        );
        let report = Box::pin(measured(&requests, http2, false)).await;
        assert_eq!(
            (report.total.good, report.total.errors),
            (200, 0),
            "{:?}",
            report.examples
        );
        let most = if http2 { 8 } else { 10 };
        assert!(
            report.generator.connections <= most,
            "{}",
            report.generator.connections
        );
        assert!(report.is_met());
    }
}

#[tokio::test]
async fn wrong_answers_are_errors_of_their_class() {
    let requests = r#"
        [requests.missing]
        path = "/missing"
        [requests.wrong]
        path = "/json"
        [requests.wrong.expect]
        json = { "/a/b/1" = 3 }
        [requests.busy]
        path = "/busy"
    "#;
    let report = Box::pin(measured(requests, false, false)).await;
    assert_eq!(report.total.good, 0);
    let classes: Vec<&str> = report.total.classes.keys().map(String::as_str).collect();
    assert_eq!(classes, ["client", "content", "server"]);
    assert!(
        report
            .examples
            .iter()
            .any(|example| example.contains("`/a/b/1` is 2, not 3"))
    );
    assert!(!report.is_met());
}

#[tokio::test]
async fn refusals_in_good_form_are_sheds_where_the_scenario_says_so() {
    let requests = "[requests.busy]\npath = \"/busy\"\n";
    let report = Box::pin(measured(requests, false, true)).await;
    assert_eq!((report.total.shed, report.total.errors), (200, 0));
}
