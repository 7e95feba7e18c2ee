use std::time::{Duration, Instant};

use touchstone_error::{Classify, ErrorKind};
use touchstone_store::postgres::Options;
use touchstone_test_services::Exclusive;

use super::{count, database_of, execute, hasty, insert, open};

/// What the deadline of an operation may be exceeded by.
const GRACE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_server_that_was_killed_costs_errors_and_no_restart() {
    let Some(server) = Exclusive::postgres().await else {
        return;
    };
    let db = open(server.url(), &hasty()).await.unwrap();
    // Several connections are open, and dead afterwards.
    let names = ["a", "b", "c", "d"].map(|name| insert(&db, name, 0, None));
    for done in futures_util::future::join_all(names).await {
        done.unwrap();
    }
    server.kill().await;
    let started = Instant::now();
    let error = insert(&db, "lost", 0, None).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after().is_some()),
        (ErrorKind::Unavailable, true)
    );
    assert!(started.elapsed() < hasty().acquire_timeout + GRACE);
    server.restart().await;
    // The first ones after the restart meet dead connections and do not notice.
    let all = futures_util::future::join_all((0..8).map(|_| count(&db))).await;
    for found in all {
        assert_eq!(found.unwrap(), 4);
    }
    insert(&db, "after", 0, None).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_in_time_and_found_again() {
    let Some(server) = Exclusive::postgres().await else {
        return;
    };
    let options = hasty();
    let db = open(server.url(), &options).await.unwrap();
    insert(&db, "before", 0, None).await.unwrap();
    server.freeze().await;
    let started = Instant::now();
    let silent = (0..6).map(|_| insert(&db, "during", 0, None));
    for done in futures_util::future::join_all(silent).await {
        let kind = done.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable),
            "{kind:?}"
        );
    }
    let bound = options.acquire_timeout + options.operation_timeout + GRACE;
    assert!(started.elapsed() < bound, "{:?}", started.elapsed());
    server.thaw().await;
    let found = count(&db).await.unwrap();
    // What was under way when the server fell silent has one effect or none.
    assert!((1..=2).contains(&found), "{found}");
}

/// Sessions of a demoted primary only read until somebody closes them.
#[tokio::test]
async fn sessions_that_only_read_are_replaced() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let name = database_of(&url);
    let writable = open(&url, &Options::default()).await.unwrap();
    insert(&writable, "before", 0, None).await.unwrap();
    execute(
        &url,
        format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
    )
    .await;
    let db = open(&url, &Options::default()).await.unwrap();
    let several = futures_util::future::join_all((0..5).map(|_| insert(&db, "refused", 0, None)));
    for done in several.await {
        let error = done.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "store.unavailable")
        );
    }
    assert_eq!(count(&db).await.unwrap(), 1, "reading goes on");
    // Sessions that are open keep reading only, whatever the database says now.
    let reset = format!(
        "SET transaction_read_only = off;
         ALTER DATABASE {name} RESET default_transaction_read_only"
    );
    execute(&url, reset).await;
    // The first one may meet a session from before; it and its like are closed.
    let refused = insert(&db, "met", 0, None).await.is_err();
    for number in 0..10 {
        insert(&db, &format!("after {number}"), 0, None)
            .await
            .unwrap();
    }
    assert_eq!(count(&db).await.unwrap(), 12 - i64::from(refused));
}
