use touchstone_api::events::Event;
use touchstone_error::{Classify, ErrorKind};
use touchstone_types::{Clock, EventId, FrozenClock, IdSource};

use super::*;
use crate::outbox::Outbox;
use crate::{inbox, outbox};

static MIGRATOR: Migrator = sqlx::migrate!("tests/migrations");

async fn memory() -> Database {
    Database::open("sqlite::memory:", &MIGRATOR).await.unwrap()
}

async fn insert(db: &Database, name: &str, size: i64, parent: Option<i64>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO notes (name, size, parent) VALUES (?, ?, ?)")
        .bind(name)
        .bind(size)
        .bind(parent)
        .execute(&mut *tx)
        .await?;
    commit(tx).await
}

async fn count(db: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(db.read())
        .await
        .unwrap()
}

fn event(number: u128) -> Event {
    Event {
        id: EventId::from_uuid(uuid::Uuid::from_u128(number)),
        topic: "sample".to_owned(),
        key: format!("key-{number}"),
        at: FrozenClock::default().now(),
        traceparent: Some("00-1-2-01".to_owned()),
        payload: serde_json::json!({ "number": u64::try_from(number).unwrap() }),
    }
}

#[tokio::test]
async fn readers_see_what_the_writer_committed_and_nothing_else() {
    let db = memory().await;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO notes (name) VALUES ('a')")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(count(&db).await, 0);
    commit(tx).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_dropped_transaction_rolls_back_and_frees_the_writer() {
    let db = memory().await;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO notes (name) VALUES ('a')")
        .execute(&mut *tx)
        .await
        .unwrap();
    drop(tx);
    insert(&db, "b", 0, None).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn readers_refuse_to_write() {
    let db = memory().await;
    let refused = sqlx::query("INSERT INTO notes (name) VALUES ('a')")
        .execute(db.read())
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn data_survives_a_restart_and_two_databases_in_memory_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("sqlite://{}/deep/er/notes.db", dir.path().display());
    let db = Database::open(&uri, &MIGRATOR).await.unwrap();
    insert(&db, "kept", 0, None).await.unwrap();
    db.close().await;
    let db = Database::open(&uri, &MIGRATOR).await.unwrap();
    assert_eq!(count(&db).await, 1);
    let pragma = |name: &'static str| sqlx::query_scalar::<_, String>(name).fetch_one(db.read());
    assert_eq!(
        pragma("SELECT journal_mode FROM pragma_journal_mode")
            .await
            .unwrap(),
        "wal"
    );
    let mut tx = db.begin().await.unwrap();
    let full: i64 = sqlx::query_scalar("SELECT synchronous FROM pragma_synchronous")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(full, 2);

    let (one, other) = (memory().await, memory().await);
    insert(&one, "only here", 0, None).await.unwrap();
    assert_eq!((count(&one).await, count(&other).await), (1, 0));
    let folder = one.file().parent().unwrap().to_path_buf();
    one.close().await;
    drop(one);
    assert!(!folder.exists());
}

/// Dropped without being closed, while connections are at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_database_leaves_no_folder_however_it_is_dropped() {
    let mut folders = Vec::new();
    for number in 0..40 {
        let db = memory().await;
        folders.push(db.file().parent().unwrap().to_path_buf());
        insert(&db, "a", 0, None).await.unwrap();
        let reads = (0..4).map(|_| count(&db));
        if number % 2 == 0 {
            futures_util::future::join_all(reads).await;
        }
        let tx = db.begin().await.unwrap();
        drop(db);
        drop(tx);
    }
    let left = || folders.iter().filter(|folder| folder.exists()).count();
    for _ in 0..500 {
        if left() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of 40 folders are left", left());
}

#[test]
fn folders_of_the_dead_are_swept_and_those_of_the_living_are_not() {
    let parent = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(PRIVATE_FILE), "").unwrap();
        folder
    };
    let dead = make("touchstone-dead");
    drop(DirLock::acquire(&dead).unwrap());
    let new = make("touchstone-new");
    let other = make("other-dead");
    drop(DirLock::acquire(&other).unwrap());
    let living = Private::make(parent.path()).unwrap();
    std::fs::write(living.folder.join(PRIVATE_FILE), "").unwrap();
    let second = Private::make(parent.path()).unwrap();
    assert!(!dead.exists());
    assert!(new.exists() && other.exists() && living.folder.exists());
    drop(living);
    drop(second);
    let left = std::fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(left, 2);
}

#[tokio::test]
async fn constraints_are_named() {
    let db = memory().await;
    insert(&db, "a", 0, None).await.unwrap();
    let name = async |name: &'static str, size, parent| {
        let error = insert(&db, name, size, parent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.constraint().unwrap().to_owned()
    };
    assert_eq!(name("a", 0, None).await, "notes.name");
    assert_eq!(name("b", -1, None).await, "notes_size_positive");
    assert_eq!(name("b", 0, Some(99)).await, "foreign_key");
    let mut tx = db.begin().await.unwrap();
    let missing = sqlx::query("INSERT INTO notes (name) VALUES (NULL)")
        .execute(&mut *tx)
        .await;
    assert_eq!(
        Error::from(missing.unwrap_err()).constraint(),
        Some("notes.name")
    );
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_leaves_nothing_half_done() {
    let db = memory().await;
    let mut tx = db.begin().await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    drop(tx);
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit).execute(&db.writer).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let full = sqlx::query("INSERT INTO notes (name) VALUES (hex(zeroblob(100000)))")
        .execute(&mut *tx)
        .await
        .unwrap_err();
    assert_eq!(Error::from(full).kind(), ErrorKind::StorageFull);
    drop(tx);
    assert_eq!(count(&db).await, 0);
    insert(&db, "there is space again", 0, None).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.db");
    std::fs::write(&file, "this is no database, ".repeat(500)).unwrap();
    let error = Database::open(&format!("sqlite://{}", file.display()), &MIGRATOR).await;
    assert!(matches!(error, Err(Error::Corrupt(_))), "{error:?}");
}

#[tokio::test]
async fn other_stores_are_refused_without_showing_the_password() {
    for uri in [
        "postgres://me:secret@host/db",
        "sqlite://",
        "data.db",
        "sqlite://a.db?mode=rwc",
    ] {
        let error = Database::open(uri, &MIGRATOR).await.unwrap_err();
        assert!(matches!(error, Error::Uri(_)), "{uri}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_writer_that_does_not_come_free_is_unavailable() {
    let db = memory().await;
    let _held = db.begin().await.unwrap();
    tokio::time::pause();
    let error = db.begin().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "store.unavailable")
    );
}

#[tokio::test]
async fn an_event_is_pending_from_the_commit_of_its_fact_until_it_was_sent() {
    let db = memory().await;
    let clock = FrozenClock::default();
    let mut tx = db.begin().await.unwrap();
    outbox::append(&mut tx, &event(1)).await.unwrap();
    drop(tx);
    assert_eq!(db.pending(10).await.unwrap(), []);

    let mut tx = db.begin().await.unwrap();
    for number in [3, 2, 1] {
        outbox::append(&mut tx, &event(number)).await.unwrap();
    }
    commit(tx).await.unwrap();
    assert_eq!(db.pending(2).await.unwrap(), [event(3), event(2)]);

    db.mark_sent(&[event(3).id, event(2).id], clock.now())
        .await
        .unwrap();
    assert_eq!(db.pending(10).await.unwrap(), [event(1)]);
    assert_eq!(db.prune(clock.now()).await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(db.prune(clock.now()).await.unwrap(), 2);
    assert_eq!(db.pending(10).await.unwrap(), [event(1)]);
}

#[tokio::test]
async fn many_events_are_sent_in_their_order_and_each_is_marked_alone() {
    let db = memory().await;
    let now = FrozenClock::default().now();
    let numbers: Vec<u128> = (0..300).map(|number| (number * 7_919) % 100_003).collect();
    let events: Vec<Event> = numbers.iter().map(|number| event(*number)).collect();
    let mut tx = db.begin().await.unwrap();
    outbox::append_all(&mut tx, &[]).await.unwrap();
    outbox::append_all(&mut tx, &events[..1]).await.unwrap();
    outbox::append_all(&mut tx, &events[1..]).await.unwrap();
    // All or nothing.
    let repeated = [event(500_000), event(numbers[7])];
    let error = outbox::append_all(&mut tx, &repeated).await.unwrap_err();
    assert_eq!(error.code(), "store.constraint");
    commit(tx).await.unwrap();
    assert_eq!(db.pending(1_000).await.unwrap(), events);

    let every_third = events.iter().step_by(3).map(|event| event.id);
    let sent: Vec<EventId> = every_third.collect();
    db.mark_sent(&[], now).await.unwrap();
    db.mark_sent(&sent, now).await.unwrap();
    // Again, later: what was sent then was sent then.
    let later = now + Duration::from_secs(9);
    db.mark_sent(&sent, later).await.unwrap();
    let left: Vec<Event> = events
        .iter()
        .filter(|event| !sent.contains(&event.id))
        .cloned()
        .collect();
    assert_eq!(db.pending(1_000).await.unwrap(), left);
    let pruned = db.prune(now + Duration::from_secs(1)).await.unwrap();
    assert_eq!(pruned, sent.len() as u64);
}

#[tokio::test]
async fn an_event_is_new_once_per_consumer() {
    let db = memory().await;
    let now = FrozenClock::default().now();
    let id = IdSource::system().next::<EventId>();
    let mut tx = db.begin().await.unwrap();
    assert!(inbox::record(&mut tx, "one", id, now).await.unwrap());
    drop(tx);
    let mut tx = db.begin().await.unwrap();
    assert!(inbox::record(&mut tx, "one", id, now).await.unwrap());
    assert!(!inbox::record(&mut tx, "one", id, now).await.unwrap());
    assert!(inbox::record(&mut tx, "other", id, now).await.unwrap());
    assert_eq!(
        inbox::prune(&mut tx, now + Duration::from_secs(1))
            .await
            .unwrap(),
        2
    );
}

#[test]
fn the_documented_tables_are_the_tested_ones() {
    let migration = include_str!("../../tests/migrations/20261121000000_create_notes.sql");
    assert!(migration.contains(outbox::DDL) && migration.contains(inbox::DDL));
}
