//! The wire between a store and its server breaks.

use std::time::Instant;

use sqlx::{Connection, Executor, PgConnection};
use touchstone_error::{Classify, ErrorKind};
use touchstone_store::postgres::Options;
use touchstone_testing::faults::{Fault, TcpProxy};

use super::*;

/// A store behind a wire that can break.
struct Wire {
    bench: Bench,
    proxy: TcpProxy,
    /// The way around the wire.
    direct: PgConnection,
    options: Options,
}

async fn wire() -> Option<Wire> {
    let url = touchstone_test_services::postgres_database().await?;
    let (front, rest) = url.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let proxy = TcpProxy::start(address.parse().unwrap()).await;
    let options = Options {
        statement_timeout: Duration::from_millis(1500),
        operation_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let behind = format!("{front}@{}/{database}", proxy.addr());
    let store = PostgresStore::open(&behind, &options).await.unwrap();
    let bench = Bench::new(Arc::new(store), None);
    Some(Wire {
        bench: Bench {
            shared: true,
            ..bench
        },
        proxy,
        direct: PgConnection::connect(&url).await.unwrap(),
        options,
    })
}

/// The server commits; its answer never arrives.
#[tokio::test]
async fn a_commit_without_an_answer_is_repeated_with_its_key_and_has_one_effect() {
    let Some(mut wire) = wire().await else { return };
    // The commit takes a while, so that the wire can break while it is under way.
    let slow = "SET search_path = document;
        CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON documents
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger();";
    wire.direct.execute(sqlx::raw_sql(slow)).await.unwrap();
    let item = Accept {
        idempotency: Some(("key".to_owned(), [1; 32])),
        ..wire.bench.upload("a")
    };
    let again = Accept {
        idempotency: item.idempotency.clone(),
        ..wire.bench.upload("a")
    };
    let (store, proxy, direct) = (&wire.bench.store, &wire.proxy, &mut wire.direct);
    let break_the_wire = async {
        let committing = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity \
             WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active')";
        loop {
            let found: bool = sqlx::query_scalar(committing)
                .fetch_one(&mut *direct)
                .await
                .unwrap();
            if found {
                break;
            }
        }
        proxy.set(Fault::Blackhole).await;
    };
    let (lost, ()) = tokio::join!(store.accept(std::slice::from_ref(&item)), break_the_wire);
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(wire.proxy.hits() > 0, "the answer was swallowed");
    wire.proxy.set(Fault::None).await;
    let answer = store.accept(std::slice::from_ref(&again)).await.unwrap();
    let first = Accepted::Repeated {
        id: item.id,
        version: 1,
    };
    assert_eq!(answer, [first]);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM documents")
        .fetch_one(&mut wire.direct)
        .await
        .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_silent_wire_is_given_up_in_time_and_used_again_when_it_speaks() {
    let Some(wire) = wire().await else { return };
    let bench = &wire.bench;
    let id = bench.accept("before").await;
    wire.proxy.set(Fault::Blackhole).await;
    let bound = wire.options.acquire_timeout + wire.options.operation_timeout;
    let started = Instant::now();
    let silent = (0..4).map(|_| bench.store.document(bench.tenant, id));
    for answer in futures_util::future::join_all(silent).await {
        let kind = answer.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable),
            "{kind:?}"
        );
    }
    let took = started.elapsed();
    assert!(took < bound + Duration::from_secs(1), "{took:?}");
    assert!(wire.proxy.hits() > 0, "nothing was swallowed");
    wire.proxy.set(Fault::None).await;
    let found = bench.store.document(bench.tenant, id).await.unwrap();
    assert!(found.is_some());
    bench.accept("after").await;
}

#[tokio::test]
async fn connections_that_were_reset_are_replaced_without_an_error() {
    let Some(wire) = wire().await else { return };
    let bench = &wire.bench;
    let id = bench.accept("before").await;
    wire.proxy.set(Fault::Reset).await;
    assert!(bench.store.document(bench.tenant, id).await.is_err());
    let hits = wire.proxy.hits();
    assert!(hits > 0);
    wire.proxy.set(Fault::None).await;
    let found = bench.store.document(bench.tenant, id).await.unwrap();
    assert!(found.is_some());
    let opened = wire.proxy.connections();
    bench.accept("after").await;
    assert!(
        wire.proxy.connections() <= opened + 1,
        "connections are kept"
    );
}

/// A process that was killed says nothing any more, and its lease has minutes to go.
#[tokio::test]
async fn what_a_dead_process_held_is_free_after_a_while() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let open = async || {
        let store = PostgresStore::open(&url, &Options::default())
            .await
            .unwrap();
        let bench = Bench::new(Arc::new(store), None);
        Bench {
            shared: true,
            ..bench
        }
    };
    let (dead, mut living) = (open().await, open().await);
    living.tenant = dead.tenant;
    let id = dead.accept("a").await;
    let (_, held) = dead.claim().await;
    assert_eq!(held.len(), 1);
    living.clock.advance(Duration::from_secs(1));
    assert!(!living.store.has_work(living.now()).await.unwrap());
    assert_eq!(living.store.recover(living.now()).await.unwrap(), 0);
    let mut direct = PgConnection::connect(&url).await.unwrap();
    direct
        .execute("UPDATE document.workers SET seen_at = seen_at - interval '1 minute'")
        .await
        .unwrap();
    assert_eq!(living.store.recover(living.now()).await.unwrap(), 1);
    let (_, claimed) = living.claim().await;
    assert_eq!((claimed[0].id, claimed[0].losses), (id, 1));
}
