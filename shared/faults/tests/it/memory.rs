//! Memory that a fault takes is really taken, and given back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use touchstone_faults::{KEY, PATH};
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telemetry::Metrics;

use crate::{SECRET, sample};

const BYTES: u64 = 200 << 20;
const PATIENCE: Duration = Duration::from_mins(1);

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_in_use_as_long_as_its_request_and_no_longer() {
    let (life, metrics) = (Lifecycle::new(), Metrics::new());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind("sample", any).await.unwrap();
    let url = format!("http://{}", listener.address());
    life.serve(listener, sample(&metrics));

    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let faults = format!("{url}{PATH}");
    for spec in [
        format!("{{\"kind\": \"memory\", \"bytes\": {BYTES}}}"),
        "{\"kind\": \"hang\"}".to_owned(),
    ] {
        let asked = http.post(&faults).header(KEY, SECRET).body(spec);
        assert_eq!(asked.send().await.unwrap().status(), 201);
    }
    let before = resident();
    let struck = http.get(format!("{url}/x")).send();
    let freed = async {
        until("the memory is not taken", || {
            resident() > before + BYTES * 9 / 10
        })
        .await;
        http.delete(&faults)
            .header(KEY, SECRET)
            .send()
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(struck, freed);
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["x-fault-struck"], "memory");
    assert_eq!(answer.text().await.unwrap(), "here");
    until("the memory is not given back", || {
        resident() < before + BYTES / 2
    })
    .await;
    let text = metrics.scope("sample").encode();
    let line = "touchstone_sample_faults_struck_total{kind=\"memory\",side=\"server\"} 1";
    assert!(text.contains(line), "{text}");
    assert!(life.shutdown(PATIENCE).await.is_clean());
}
