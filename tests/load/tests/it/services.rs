//! What services tell of themselves during a run.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use touchstone_load::report::Report;
use touchstone_load::runner::{Options, RunError, run};
use touchstone_load::scenario::{Overrides, Prepared, Scenario};
use touchstone_load::services::{Endpoint, bottleneck};
use touchstone_load::steps::Registry;

/// A service that counts its work: each takes 10 ms of one stage and 30 ms of another, as it says.
fn service() -> Router {
    let done = Arc::new(AtomicU64::new(7));
    let counted = Arc::clone(&done);
    let work = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        "done"
    };
    let metrics = move || async move {
        let done = done.load(Ordering::SeqCst);
        let mut text = String::from("# TYPE x_stage_seconds histogram\n");
        for (stage, millis) in [("read", 10), ("rank", 30)] {
            let sum = (done * millis) as f64 / 1e3;
            writeln!(text, "x_stage_seconds_count{{stage=\"{stage}\"}} {done}").unwrap();
            writeln!(text, "x_stage_seconds_sum{{stage=\"{stage}\"}} {sum}").unwrap();
        }
        text + "# TYPE x_pool_busy gauge\nx_pool_busy 3\n"
    };
    Router::new()
        .route("/work", get(work))
        .route("/metrics", get(metrics))
}

const SCENARIO: &str = r#"
name = "work"
about = "Of the tests."
[[phases]]
name = "all"
load = { kind = "count", requests = 20, users = 2 }
[[classes]]
name = "worker"
steps = [{ step = "work" }]
[requests.work]
path = "/work"
"#;

async fn ran(also: &[&str]) -> Result<Report, RunError> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut metrics = vec![Endpoint::parse(&format!("work={url}")).unwrap()];
    metrics.extend(also.iter().map(|text| Endpoint::parse(text).unwrap()));
    metrics.push(Endpoint {
        name: "perhaps".into(),
        url: "http://127.0.0.1:9".into(),
        is_wanted: false,
    });
    let options = Options {
        metrics,
        ..Options::plain(url)
    };
    let scenario = Scenario::parse("work", SCENARIO).unwrap();
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        ".".as_ref(),
    );
    let over = CancellationToken::new();
    let served =
        axum::serve(listener, service()).with_graceful_shutdown(over.clone().cancelled_owned());
    let stop = CancellationToken::new();
    let load = async {
        let report = run(prepared.unwrap(), &options, stop, |_| {}, |_| {}).await;
        over.cancel();
        report
    };
    let served = std::future::IntoFuture::into_future(served);
    let (report, served) = Box::pin(async { tokio::join!(load, served) }).await;
    served.unwrap();
    report
}

#[tokio::test]
async fn stages_and_pools_are_those_of_the_run_and_the_longest_is_named() {
    let report = Box::pin(ran(&[])).await.unwrap();
    assert_eq!(report.services.len(), 1, "{:?}", report.services);
    let stages = report.services[0].stages.iter();
    let told: Vec<(&str, u64, u64)> = stages
        .map(|stage| {
            let millis = (stage.seconds * 1e3).round() as u64;
            (stage.name.as_str(), stage.count, millis)
        })
        .collect();
    // What was done before the run does not count.
    assert_eq!(
        told,
        [
            ("x_stage_seconds stage=rank", 20, 600),
            ("x_stage_seconds stage=read", 20, 200)
        ]
    );
    let (service, stage, share) = bottleneck(&report.services).unwrap();
    assert_eq!((service, stage.name.as_str()), ("work", told[0].0));
    assert!((share - 0.75).abs() < 1e-6);
    let level = &report.services[0].levels[0];
    assert_eq!(level.name, "x_pool_busy");
    assert!((level.most - 3.0).abs() < 1e-9);
}

#[tokio::test]
async fn metrics_that_were_asked_for_and_are_not_there_end_the_run_before_it_begins() {
    let error = Box::pin(ran(&["none=http://127.0.0.1:9"]))
        .await
        .unwrap_err();
    assert!(error.is_target(), "{error}");
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}
