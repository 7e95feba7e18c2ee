use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::Executor;
use tokio::sync::Barrier;
use touchstone_error::{Classify, ErrorKind};
use touchstone_store::Error;
use touchstone_store::postgres::{Database, Flow, Options, read, write};

use super::{count, hasty, insert, open};

#[tokio::test]
async fn a_rollback_leaves_nothing_and_a_commit_everything() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &Options::default()).await.unwrap();
    let answer = write!(db, |tx| {
        tx.execute("INSERT INTO notes (name) VALUES ('a')").await?;
        Ok(Flow::Rollback(7))
    });
    assert_eq!(answer.unwrap(), 7);
    let failed: Result<(), Error> = write!(db, |tx| {
        tx.execute("INSERT INTO notes (name) VALUES ('a')").await?;
        Err(Error::indefinite())
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(count(&db).await.unwrap(), 0);
    insert(&db, "a", 0, None).await.unwrap();
    assert_eq!(count(&db).await.unwrap(), 1);
}

#[tokio::test]
async fn constraints_are_named() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &Options::default()).await.unwrap();
    insert(&db, "a", 0, None).await.unwrap();
    let name = async |name: &str, size, parent| {
        let error = insert(&db, name, size, parent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.constraint().unwrap().to_owned()
    };
    assert_eq!(name("a", 0, None).await, "notes_name");
    assert_eq!(name("b", -1, None).await, "notes_size_positive");
    assert_eq!(name("b", 0, Some(99)).await, "notes_parent");
    let missing = write!(db, |tx| {
        tx.execute("INSERT INTO notes (name) VALUES (NULL)").await?;
        Ok(Flow::Commit(()))
    });
    assert_eq!(missing.unwrap_err().constraint(), Some("notes.name"));
}

#[tokio::test]
async fn states_of_the_server_become_kinds() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &Options::default()).await.unwrap();
    for (state, kind) in [
        ("53100", ErrorKind::StorageFull),
        ("53200", ErrorKind::Unavailable),
        ("53300", ErrorKind::Unavailable),
        ("57P03", ErrorKind::Unavailable),
        ("25006", ErrorKind::Unavailable),
        ("40001", ErrorKind::Unavailable),
        ("57014", ErrorKind::Timeout),
        ("55P03", ErrorKind::Unavailable),
        ("XX001", ErrorKind::Internal),
        ("42601", ErrorKind::Internal),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$");
        let error = write!(db, |tx| {
            tx.execute(sqlx::AssertSqlSafe(raise.clone())).await?;
            Ok(Flow::Commit(()))
        });
        assert_eq!(error.unwrap_err().kind(), kind, "{state}");
    }
    // Whatever it was, the next one works.
    assert_eq!(count(&db).await.unwrap(), 0);
}

#[tokio::test]
async fn a_deadlock_is_begun_anew() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &Options::default()).await.unwrap();
    insert(&db, "a", 0, None).await.unwrap();
    insert(&db, "b", 0, None).await.unwrap();
    let (both, tries) = (Barrier::new(2), AtomicU32::new(0));
    let swap = async |first: &str, second: &str| {
        let waited = AtomicU32::new(0);
        write!(db, |tx| {
            tries.fetch_add(1, Ordering::Relaxed);
            let add = "UPDATE notes SET size = size + 1 WHERE name = $1";
            sqlx::query(add).bind(first).execute(&mut *tx).await?;
            if waited.fetch_add(1, Ordering::Relaxed) == 0 {
                both.wait().await;
            }
            sqlx::query(add).bind(second).execute(&mut *tx).await?;
            Ok(Flow::Commit(()))
        })
    };
    let (one, other) = tokio::join!(swap("a", "b"), swap("b", "a"));
    one.unwrap();
    other.unwrap();
    assert_eq!(
        tries.load(Ordering::Relaxed),
        3,
        "one of the two was undone once"
    );
    let sizes = read!(db, |connection| {
        let sizes = sqlx::query_scalar::<_, i64>("SELECT size FROM notes");
        Ok(sizes.fetch_all(connection).await?)
    });
    assert_eq!(sizes.unwrap(), [2, 2]);
}

#[tokio::test]
async fn a_pool_without_a_free_connection_refuses_fast_and_recovers() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let options = Options {
        connections: 1,
        acquire_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let db = open(&url, &options).await.unwrap();
    let busy = async {
        read!(db, |connection| {
            connection.execute("SELECT pg_sleep(2)").await?;
            Ok(())
        })
    };
    let refused = async {
        // The other one has the connection first: it is polled first, and there is only one.
        let started = Instant::now();
        let error = count(&db).await.unwrap_err();
        (
            error.kind(),
            error.retry_after().is_some(),
            started.elapsed(),
        )
    };
    let (busy, (kind, later, took)) = tokio::join!(biased; busy, refused);
    busy.unwrap();
    assert_eq!((kind, later), (ErrorKind::Unavailable, true));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(count(&db).await.unwrap(), 0);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &hasty()).await.unwrap();
    let slow = read!(db, |connection| {
        connection.execute("SELECT pg_sleep(60)").await?;
        Ok(())
    });
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(count(&db).await.unwrap(), 0);
}

/// The answer to what was given up must never be taken for the answer to something else.
#[tokio::test]
async fn work_that_was_cut_off_takes_its_connection_along() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let options = Options {
        connections: 1,
        ..Options::default()
    };
    let db = open(&url, &options).await.unwrap();
    let number = async |sql: &'static str| {
        read!(db, |connection| {
            Ok(sqlx::query_scalar::<_, i32>(sql)
                .fetch_one(connection)
                .await?)
        })
    };
    let cut = tokio::time::timeout(
        Duration::from_millis(100),
        number("SELECT 1 FROM pg_sleep(3)"),
    );
    assert!(cut.await.is_err());
    let started = Instant::now();
    assert_eq!(number("SELECT 2").await.unwrap(), 2);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "waited for what was cut off"
    );
    let (open, _) = db.connections();
    assert_eq!(open, 1);
}

#[tokio::test]
async fn a_transaction_that_was_cut_off_leaves_no_lock_and_no_trace() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url, &Options::default()).await.unwrap();
    insert(&db, "a", 0, None).await.unwrap();
    let size = |db: Database, more: i64, pause: Duration| async move {
        write!(db, |tx| {
            sqlx::query("UPDATE notes SET size = size + $1 WHERE name = 'a'")
                .bind(more)
                .execute(&mut *tx)
                .await?;
            tokio::time::sleep(pause).await;
            Ok(Flow::Commit(()))
        })
    };
    let cut = size(db.clone(), 100, Duration::from_secs(30));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), cut)
            .await
            .is_err()
    );
    size(db.clone(), 1, Duration::ZERO).await.unwrap();
    let left = read!(db, |connection| {
        let size = sqlx::query_scalar::<_, i64>("SELECT size FROM notes");
        Ok(size.fetch_one(connection).await?)
    });
    assert_eq!(left.unwrap(), 1);
}
