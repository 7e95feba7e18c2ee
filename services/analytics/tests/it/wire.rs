//! What goes over the wire to ClickHouse, told by a server that only listens. It proves the shape
//! of the requests, not that ClickHouse takes them: the contract suite does that on a real one.

use std::time::Duration;

use touchstone_analytics::domain::View;
use touchstone_analytics::store::{ClickHouseStore, Store};
use touchstone_error::{Classify, ErrorKind};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::fixtures::*;

fn store(url: &str, timeout: Duration) -> ClickHouseStore {
    let mut config = clickhouse_config();
    config.timeout = timeout;
    "writer".clone_into(&mut config.user);
    config.password = "hunter2-hunter2".into();
    ClickHouseStore::new(url, &config, Duration::from_hours(24 * 30))
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    request
        .url
        .query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn tables_have_a_retention_and_remember_batches() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let store = store(&server.uri(), Duration::from_secs(10));
    // The listener answers nothing that reads as a table: preparing is all that is looked at.
    let _ = store.insert(&batch(1, vec![request(None, 200, 1)])).await;
    let requests = server.received_requests().await.unwrap();
    let statements: Vec<String> = requests
        .iter()
        .map(|request| {
            parameter(request, "query")
                .unwrap_or_else(|| String::from_utf8_lossy(&request.body).into_owned())
        })
        .collect();
    for table in ["requests", "queries", "ingestions"] {
        let create = format!("CREATE TABLE IF NOT EXISTS {table}");
        let made = statements
            .iter()
            .find(|text| text.contains(&create))
            .unwrap();
        assert!(
            made.contains("TTL toDateTime(at) + toIntervalDay(30)"),
            "{made}"
        );
        assert!(
            made.contains("non_replicated_deduplication_window = 1000"),
            "{made}"
        );
    }
    for request in &requests {
        assert_eq!(request.headers["x-clickhouse-user"], "writer");
        assert!(
            !request.url.as_str().contains("hunter2"),
            "a password in a URL"
        );
    }
}

#[tokio::test]
async fn a_server_that_refuses_or_is_slow_is_told_apart() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(500).set_body_string("Code: 60. Unknown table"))
        .mount(&server)
        .await;
    let refused = store(&server.uri(), Duration::from_secs(10));
    let error = refused.collect(View::Everything, day()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "analytics.clickhouse_unavailable")
    );
    assert!(
        !error.detail().contains("Unknown table"),
        "{}",
        error.detail()
    );

    let slow = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_mins(1)))
        .mount(&slow)
        .await;
    let late = store(&slow.uri(), Duration::from_millis(200));
    let error = late.ping().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "analytics.clickhouse_timeout")
    );
}
