//! What every store must do, run on every backend that exists.

use std::sync::Arc;

use touchstone_api::events::{Event, TelegramPost};
use touchstone_api::telegram::{Post, SyncType};
use touchstone_types::{Clock, FrozenClock};

use super::*;
use crate::domain::ledger::{self, Kind};

mod bulk;

use bulk::{
    many_rows_are_written_as_they_are, the_largest_number_is_one_like_any_other,
    what_a_tenant_wants_is_told_bit_by_bit, what_is_gone_of_much_is_taken_in_pieces,
    what_is_told_twice_is_written_once, whoever_begins_to_follow_wants_what_is_there,
};

const CHANNEL: i64 = 1_006_503_122;

struct World {
    store: Arc<dyn Store>,
    clock: Arc<FrozenClock>,
    ids: IdSource,
    tenant: TenantId,
}

impl World {
    async fn new(uri: &str) -> Self {
        let clock = Arc::new(FrozenClock::default());
        let ids = IdSource::seeded(clock.clone(), 1);
        let world = Self {
            store: open(&uri.into(), &Options::default()).await.unwrap(),
            tenant: ids.next(),
            clock,
            ids,
        };
        world.store.meet(&channel("news")).await.unwrap();
        world
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            at: self.clock.now(),
            ids: self.ids.clone(),
        }
    }

    async fn follow(&self, tenant: TenantId) -> bool {
        let now = self.clock.now();
        self.store.follow(CHANNEL, tenant, now).await.unwrap()
    }

    /// Tells the tenant of posts between two numbers.
    async fn tell(&self, numbers: (i32, i32)) -> usize {
        let (store, stamp) = (&self.store, self.stamp());
        store.want(CHANNEL, self.tenant, numbers).await.unwrap();
        store.tell(1_000, &stamp).await.unwrap().unwrap()
    }

    async fn told(&self, told: Told) -> usize {
        let stamp = self.stamp();
        self.store.apply(CHANNEL, &told, &stamp).await.unwrap()
    }

    /// What was appended to the outbox since the last time, and takes it out.
    async fn events(&self) -> Vec<TelegramPost> {
        let outbox = self.store.outbox();
        let events: Vec<Event> = outbox.pending(1_000).await.unwrap();
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        outbox.mark_sent(&ids, self.clock.now()).await.unwrap();
        events
            .into_iter()
            .map(|event| serde_json::from_value(event.payload).unwrap())
            .collect()
    }

    async fn rows(&self) -> Vec<Row> {
        let stored = self.store.rows(CHANNEL, 0, i32::MAX).await.unwrap();
        for one in &stored {
            assert_eq!(one.hash, one.row.hash(), "{one:?}");
        }
        self.is_sealed(&stored).await;
        stored.into_iter().map(|stored| stored.row).collect()
    }

    /// The blocks' digests are those of their rows.
    async fn is_sealed(&self, stored: &[Stored]) {
        let blocks = self.store.blocks(CHANNEL).await.unwrap();
        for (block, digest) in &blocks {
            let of = stored
                .iter()
                .filter(|one| ledger::block_of(one.row.id) == *block)
                .map(|one| (one.row.id, one.row.revision, one.hash));
            assert_eq!(ledger::block(of), *digest, "block {block}");
        }
        let known: Vec<i32> = blocks.iter().map(|(block, _)| *block).collect();
        assert!(
            stored
                .iter()
                .all(|one| known.contains(&ledger::block_of(one.row.id)))
        );
    }
}

fn channel(title: &str) -> Channel {
    Channel {
        id: CHANNEL,
        access_hash: -5,
        title: title.into(),
        username: Some("news".into()),
        pts: 0,
        top: 0,
    }
}

fn row(id: i32, text: &str) -> Row {
    let post = Post {
        message_id: id,
        channel_id: CHANNEL,
        channel_title: "news".into(),
        channel_username: Some("news".into()),
        text: text.into(),
        date: "2026-01-07T09:55:48+00:00".into(),
        sender_id: -1_001_006_503_122,
        views: Some(7),
        forwards: None,
        reply_to_msg_id: None,
        media_type: None,
        media_url: None,
        sync_type: SyncType::Backfill,
    };
    Row::post(post, None, None)
}

fn posts(rows: impl IntoIterator<Item = Row>) -> Told {
    Told {
        rows: rows.into_iter().collect(),
        ..Told::default()
    }
}

async fn a_channel_keeps_its_state_when_it_is_met_again(world: World) {
    let told = Told {
        pts: Some(42),
        ..posts([row(5, "a")])
    };
    world.told(told).await;
    world.store.meet(&channel("renamed")).await.unwrap();
    let known = world.store.channel(CHANNEL).await.unwrap().unwrap();
    assert_eq!(
        (known.title.as_str(), known.pts, known.top),
        ("renamed", 42, 5)
    );
    assert_eq!(world.store.channel(1).await.unwrap(), None);
    world.store.distrust(CHANNEL).await.unwrap();
    let known = world.store.channel(CHANNEL).await.unwrap().unwrap();
    assert_eq!(
        (known.pts, known.top),
        (0, 5),
        "what was seen is not forgotten"
    );
}

async fn followers_come_and_go(world: World) {
    let (store, other) = (&world.store, world.ids.next::<TenantId>());
    assert!(store.followed().await.unwrap().is_empty());
    assert!(world.follow(world.tenant).await);
    assert!(!world.follow(world.tenant).await, "once");
    assert!(world.follow(other).await);
    assert_eq!(store.followers(CHANNEL).await.unwrap().len(), 2);
    assert_eq!(store.followed().await.unwrap().len(), 1);
    assert!(store.unfollow(CHANNEL, other).await.unwrap());
    assert!(!store.unfollow(CHANNEL, other).await.unwrap());
    assert_eq!(store.followers(CHANNEL).await.unwrap(), [world.tenant]);
}

async fn followers_are_told_of_what_changed_and_of_nothing_else(world: World) {
    world.follow(world.tenant).await;
    assert_eq!(world.told(posts([row(1, "one"), row(2, "two\0")])).await, 2);
    let told = world.events().await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].text.as_ref().unwrap().text, "one");
    assert_eq!(told[0].tenant_id, world.tenant);
    // Again, with more views.
    let mut again = row(1, "one");
    again.post.as_mut().unwrap().views = Some(1_000);
    assert_eq!(world.told(posts([again])).await, 0);
    assert_eq!(
        world.rows().await[0].post.as_ref().unwrap().views,
        Some(1_000)
    );
    // An edit, a deletion, and a number that nobody knew.
    let mut edited = row(1, "uno");
    edited.edited_at = Some(99);
    let told = Told {
        deleted: vec![2, 3],
        ..posts([edited])
    };
    assert_eq!(world.told(told).await, 2);
    let told = world.events().await;
    assert_eq!(told[0].text.as_ref().unwrap().text, "uno");
    assert_eq!((told[1].message_id, &told[1].text), (2, &None));
    let kinds: Vec<_> = world
        .rows()
        .await
        .iter()
        .map(|row| (row.kind, row.revision))
        .collect();
    assert_eq!(
        kinds,
        [(Kind::Post, 2), (Kind::Deleted, 2), (Kind::Deleted, 1)]
    );
}

async fn what_a_page_does_not_hold_is_gone(world: World) {
    world.follow(world.tenant).await;
    world
        .told(posts([
            row(10, "a"),
            row(11, "b"),
            row(1_999, "c"),
            row(2_000, "d"),
        ]))
        .await;
    world.events().await;
    let page = Told {
        truth: Some((11, i32::MAX)),
        ..posts([row(2_000, "d")])
    };
    assert_eq!(world.told(page).await, 2);
    let gone: Vec<_> = world
        .events()
        .await
        .iter()
        .map(|told| told.message_id)
        .collect();
    assert_eq!(gone, [11, 1_999]);
    let left: Vec<_> = world
        .rows()
        .await
        .into_iter()
        .filter(|row| row.kind == Kind::Post)
        .map(|row| row.id)
        .collect();
    assert_eq!(left, [10, 2_000]);
}

async fn coverage_grows_together(world: World) {
    for (low, high) in [(90, 100), (10, 20), (21, 89), (500, 600), (95, 110)] {
        let told = Told {
            covered: vec![(low, high)],
            ..Told::default()
        };
        world.told(told).await;
    }
    let covered = world.store.coverage(CHANNEL).await.unwrap();
    assert_eq!(covered, [(10, 110), (500, 600)]);
    world.store.distrust(CHANNEL).await.unwrap();
    assert!(world.store.coverage(CHANNEL).await.unwrap().is_empty());
}

async fn what_was_asked_for_in_another_state_is_not_taken(world: World) {
    let told = |text: &str, since, pts| Told {
        since,
        pts,
        covered: vec![(1, 1)],
        ..posts([row(1, text)])
    };
    world.told(told("first", Some(0), Some(10))).await;
    world.told(told("changed", Some(10), Some(11))).await;
    // An instance that lost the account meanwhile comes with what it read before.
    for late in [
        told("first", Some(10), None),
        told("first", Some(0), Some(10)),
    ] {
        assert_eq!(world.told(late).await, 0);
        assert_eq!(world.rows().await[0].post.as_ref().unwrap().text, "changed");
        let known = world.store.channel(CHANNEL).await.unwrap().unwrap();
        assert_eq!(known.pts, 11);
    }
    world.told(told("again", Some(11), None)).await;
    assert_eq!(world.rows().await[0].post.as_ref().unwrap().text, "again");
}

async fn a_tenant_is_told_of_what_its_documents_lack(world: World) {
    let album = |id, text| Row {
        grouped_id: Some(5),
        ..row(id, text)
    };
    world
        .told(posts([
            row(1, "one"),
            album(2, "first"),
            album(3, "second"),
            row(4, ""),
        ]))
        .await;
    assert!(world.events().await.is_empty(), "nobody follows");
    // The album reaches over the edge.
    assert_eq!(world.tell((3, 9)).await, 1);
    assert_eq!(world.events().await[0].message_id, 2);
    assert_eq!(world.tell((1, 9)).await, 2);
    for told in world.events().await {
        let key = PostKey {
            tenant: world.tenant,
            channel: CHANNEL,
            message: told.message_id,
        };
        assert_eq!(world.store.mapped(key).await.unwrap(), None);
        let mapped = Mapped {
            document: world.ids.next(),
            digest: told.text.unwrap().digest,
        };
        world.store.map(key, Some(&mapped)).await.unwrap();
        assert_eq!(world.store.mapped(key).await.unwrap(), Some(mapped));
    }
    assert_eq!(world.tell((1, 9)).await, 0, "it has all of it");
    let told = Told {
        deleted: vec![1],
        ..Told::default()
    };
    world.told(told).await;
    assert_eq!(world.tell((1, 9)).await, 1);
    let told = world.events().await;
    assert_eq!((told[0].message_id, &told[0].text), (1, &None));
    let key = PostKey {
        tenant: world.tenant,
        channel: CHANNEL,
        message: 1,
    };
    world.store.map(key, None).await.unwrap();
    assert_eq!(world.tell((1, 9)).await, 0);
}

async fn an_account_has_one_holder_at_a_time(world: World) {
    let (one, other) = (world.ids.next::<Uuid>(), world.ids.next::<Uuid>());
    let time = Duration::from_mins(5);
    let hold = async |who| {
        let now = world.clock.now();
        world.store.hold("account", who, now, time).await.unwrap()
    };
    assert!(hold(one).await);
    assert!(hold(one).await, "it is extended");
    assert!(!hold(other).await);
    world.store.release("account", other).await.unwrap();
    assert!(!hold(other).await, "only its holder gives it back");
    world.store.release("account", one).await.unwrap();
    assert!(hold(other).await);
    let now = world.clock.now();
    let second = world.store.hold("another account", one, now, time);
    assert!(second.await.unwrap());
}

async fn of_many_who_want_an_account_one_gets_it(world: World) {
    for round in 0..20 {
        let account = format!("account {round}");
        let holders: Vec<Uuid> = (0..8).map(|_| world.ids.next()).collect();
        let now = world.clock.now();
        let time = Duration::from_mins(5);
        let wanted = holders
            .iter()
            .map(|one| world.store.hold(&account, *one, now, time));
        let got = futures_util::future::join_all(wanted).await;
        let winners = got
            .into_iter()
            .filter(|held| *held.as_ref().unwrap())
            .count();
        assert_eq!(winners, 1, "{account}");
    }
}

/// A post that answers another one, or stands in an album.
fn tied(id: i32, text: &str, reply_to: Option<i32>, album: Option<i64>, edited: i32) -> Row {
    let mut post = row(id, text).post.unwrap();
    post.reply_to_msg_id = reply_to;
    Row::post(post, album, Some(edited))
}

/// What documents say when they did as they were told.
fn heard(held: &mut ledger::Texts, events: Vec<TelegramPost>) {
    for event in events {
        match event.text {
            Some(text) => drop(held.insert(event.message_id, text)),
            None => drop(held.remove(&event.message_id)),
        }
    }
}

async fn true_texts(world: &World) -> ledger::Texts {
    let rows = world.rows().await.into_iter();
    ledger::texts(&rows.map(|row| (row.id, row)).collect())
}

async fn threads_are_told_whole_in_whatever_order_they_come(world: World) {
    world.follow(world.tenant).await;
    let mut held = ledger::Texts::new();
    let mut noise = 7_u32;
    let mut draw = move |below: i32| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from(noise >> 8).unwrap() % below
    };
    // Of sixty numbers most answer one a little before them, some stand in albums.
    let told = |id: i32, step: i32| {
        let reply_to = (id % 4 != 0).then(|| id - 1 - id % 3);
        let album = (id % 7 == 0 || id % 7 == 1).then(|| i64::from(id / 7));
        tied(id, &format!("{id} at {step}"), reply_to, album, step + 1)
    };
    for step in 0..150 {
        let id = 1 + draw(60);
        let change = match draw(8) {
            0 => Told {
                deleted: vec![id],
                ..Told::default()
            },
            1 => Told {
                // A page that begins and ends inside of threads.
                rows: (id..id + 6).map(|id| told(id, step)).collect(),
                truth: Some((id, id + 7)),
                ..Told::default()
            },
            _ => Told {
                rows: vec![told(id, step)],
                ..Told::default()
            },
        };
        world.told(change).await;
        heard(&mut held, world.events().await);
        assert_eq!(held, true_texts(&world).await, "step {step}");
    }
    assert!(
        held.values().any(|text| text.text.contains("\n\n")),
        "there are threads"
    );
}

async fn a_thread_that_grows_too_long_falls_apart(world: World) {
    world.follow(world.tenant).await;
    let mut held = ledger::Texts::new();
    let most = i32::try_from(ledger::LONGEST_THREAD).unwrap();
    world
        .told(Told {
            rows: vec![row(100, "first")],
            ..Told::default()
        })
        .await;
    for number in 1..most + 4 {
        // Half of them answer the first, half the one before.
        let to = if number % 2 == 0 { 100 } else { 99 + number };
        let answer = tied(100 + number, "answer", Some(to), None, 1);
        world
            .told(Told {
                rows: vec![answer],
                ..Told::default()
            })
            .await;
        heard(&mut held, world.events().await);
        let expected = if number < most {
            1
        } else {
            number as usize + 1
        };
        assert_eq!(held.len(), expected, "{number} answers");
    }
    assert_eq!(held, true_texts(&world).await);

    // A page may make it too long at once; of what was one until now nothing stays.
    let page = |numbers: std::ops::Range<i32>| Told {
        rows: numbers
            .map(|id| tied(id, "answer", Some(id - 1), None, 1))
            .collect(),
        ..Told::default()
    };
    for numbers in [300..350, 350..400, 400..430] {
        world.told(page(numbers)).await;
        heard(&mut held, world.events().await);
        assert_eq!(held, true_texts(&world).await);
    }
}

async fn a_tenant_is_told_of_threads_that_reach_out_of_what_it_wants(world: World) {
    let rows = vec![
        row(5, "first"),
        row(20, "between"),
        tied(50, "second", Some(5), None, 1),
        tied(90, "third", Some(50), None, 1),
    ];
    world
        .told(Told {
            rows,
            ..Told::default()
        })
        .await;
    let key = |message| PostKey {
        tenant: world.tenant,
        channel: CHANNEL,
        message,
    };
    // From before these were one, and one that nobody looks at now.
    for message in [20, 50, 90] {
        let mapped = Mapped {
            document: world.ids.next(),
            digest: "old".into(),
        };
        world.store.map(key(message), Some(&mapped)).await.unwrap();
    }
    assert_eq!(world.tell((40, 60)).await, 3);
    let events = world.events().await;
    let gone: Vec<i32> = events
        .iter()
        .filter(|event| event.text.is_none())
        .map(|event| event.message_id)
        .collect();
    assert_eq!(gone, [50, 90]);
    let whole = events.iter().find_map(|event| event.text.as_ref()).unwrap();
    assert_eq!(whole.text, "first\n\nsecond\n\nthird");
}

async fn keys_are_kept_per_account(world: World) {
    let store = &world.store;
    for (account, dc, sealed) in [("a", 4, [1]), ("a", 5, [2]), ("a", 4, [3]), ("b", 4, [4])] {
        store.keep_key(account, dc, &sealed).await.unwrap();
    }
    assert_eq!(store.keys("a").await.unwrap(), [(4, vec![3]), (5, vec![2])]);
    assert_eq!(store.keys("b").await.unwrap(), [(4, vec![4])]);
    assert_eq!(store.keys("c").await.unwrap(), []);
}

macro_rules! contract {
    ($backend:ident, $uri:expr) => {
        mod $backend {
            use super::World;

            contract!(@tests $uri; a_channel_keeps_its_state_when_it_is_met_again,
                followers_come_and_go, followers_are_told_of_what_changed_and_of_nothing_else,
                what_a_page_does_not_hold_is_gone, coverage_grows_together,
                what_was_asked_for_in_another_state_is_not_taken,
                a_tenant_is_told_of_what_its_documents_lack, an_account_has_one_holder_at_a_time,
                what_is_told_twice_is_written_once, many_rows_are_written_as_they_are,
                what_a_tenant_wants_is_told_bit_by_bit,
                whoever_begins_to_follow_wants_what_is_there,
                the_largest_number_is_one_like_any_other, what_is_gone_of_much_is_taken_in_pieces,
                of_many_who_want_an_account_one_gets_it, keys_are_kept_per_account,
                threads_are_told_whole_in_whatever_order_they_come,
                a_thread_that_grows_too_long_falls_apart,
                a_tenant_is_told_of_threads_that_reach_out_of_what_it_wants);
        }
    };
    (@tests $uri:expr; $($test:ident),+) => {$(
        #[tokio::test]
        async fn $test() {
            let folder = tempfile::tempdir().unwrap();
            let uri: Option<String> = ($uri)(folder.path()).await;
            let Some(uri) = uri else { return };
            Box::pin(super::$test(Box::pin(World::new(&uri)).await)).await;
        }
    )+};
}

contract!(sqlite_file, async |folder: &std::path::Path| Some(format!(
    "sqlite://{}/telegram.db",
    folder.display()
)));
contract!(postgres, async |_: &std::path::Path| {
    touchstone_test_services::postgres_database().await
});

#[tokio::test]
async fn an_account_is_free_when_its_lease_ran_out() {
    // On PostgreSQL the server's clock says when; here ours does.
    let world = Box::pin(World::new("sqlite::memory:")).await;
    let time = Duration::from_secs(15);
    let start = world.clock.now();
    for (holder, after, holds) in [(1, 0, true), (2, 14, false), (2, 16, true), (1, 17, false)] {
        let now = start + Duration::from_secs(after);
        let held = world.store.hold("a", Uuid::from_u128(holder), now, time);
        assert_eq!(held.await.unwrap(), holds, "{holder} after {after} s");
    }
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    use touchstone_store::postgres::explain::{Tables, explain};
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let tables = Tables::Scratch(20_000);
    let report = Box::pin(explain(&url, &crate::store::postgres::EXPLAINED, tables))
        .await
        .unwrap();
    let misses: Vec<_> = report.misses().collect();
    assert!(misses.is_empty(), "{misses:#?}");
}
