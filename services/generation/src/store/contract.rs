//! What every store must do, run on every backend that exists.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use touchstone_types::{Clock, FrozenClock, IdSource};

use super::*;

struct World {
    store: Arc<dyn Store>,
    ids: IdSource,
    owner: Owner,
    now: DateTime<Utc>,
}

impl World {
    async fn new(uri: &str) -> Self {
        let clock = Arc::new(FrozenClock::default());
        let ids = IdSource::seeded(clock.clone(), 1);
        let owner = Owner {
            tenant: ids.next(),
            user: ids.next(),
        };
        Self {
            store: open(&uri.into(), &Options::default()).await.unwrap(),
            owner,
            now: clock.now(),
            ids,
        }
    }

    fn turn(&self, text: &str) -> Vec<NewMessage> {
        let message = |role, content: &str| NewMessage {
            id: self.ids.next(),
            role,
            content: content.into(),
            citations: Vec::new(),
            complete: true,
        };
        vec![
            message(MessageRole::User, text),
            message(MessageRole::Assistant, "answer"),
        ]
    }

    async fn start(&self, title: &str, at: DateTime<Utc>) -> ConversationId {
        let target = Target::New(self.ids.next(), title.into());
        assert!(
            self.store
                .append(self.owner, &target, &self.turn(title), at)
                .await
                .unwrap()
        );
        target.id()
    }
}

async fn numbers_messages_without_holes(world: World) {
    let id = world.start("first", world.now).await;
    let (store, target) = (&world.store, Target::Existing(id));
    let (one, two, three) = (world.turn("a"), world.turn("b"), world.turn("c"));
    let (a, b, c) = tokio::join!(
        store.append(world.owner, &target, &one, world.now),
        store.append(world.owner, &target, &two, world.now),
        store.append(world.owner, &target, &three, world.now),
    );
    assert!(a.unwrap() && b.unwrap() && c.unwrap());
    let all = store
        .messages(world.owner, id, 0, 100)
        .await
        .unwrap()
        .unwrap();
    let numbers: Vec<u32> = all.iter().map(|message| message.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let part = store
        .messages(world.owner, id, 3, 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(part, all[3..5]);
    let conversation = store.get(world.owner, id).await.unwrap().unwrap();
    assert_eq!(
        (conversation.message_count, conversation.title.as_str()),
        (8, "first")
    );
    assert_eq!(all[1].role, MessageRole::Assistant);
}

async fn hides_conversations_from_everybody_else(world: World) {
    let id = world.start("mine", world.now).await;
    let others = [
        Owner {
            user: world.ids.next(),
            ..world.owner
        },
        Owner {
            tenant: world.ids.next(),
            ..world.owner
        },
    ];
    for other in others {
        let (store, target) = (&world.store, Target::Existing(id));
        assert_eq!(store.get(other, id).await.unwrap(), None);
        assert_eq!(store.messages(other, id, 0, 10).await.unwrap(), None);
        assert!(
            !store
                .append(other, &target, &world.turn("x"), world.now)
                .await
                .unwrap()
        );
        assert!(!store.delete(other, id).await.unwrap());
        assert!(store.list(other, None, 10).await.unwrap().is_empty());
    }
    assert_eq!(
        world
            .store
            .get(world.owner, id)
            .await
            .unwrap()
            .unwrap()
            .message_count,
        2
    );
}

async fn lists_by_last_growth_in_pages(world: World) {
    let mut ids = Vec::new();
    for minute in 0..5 {
        ids.push(
            world
                .start("c", world.now + TimeDelta::minutes(minute / 2))
                .await,
        );
    }
    let grown = world.now + TimeDelta::hours(1);
    let target = Target::Existing(ids[0]);
    world
        .store
        .append(world.owner, &target, &world.turn("x"), grown)
        .await
        .unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.store.list(world.owner, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor {
            updated_at: last.updated_at,
            id: last.id,
        });
        seen.extend(page.iter().map(|conversation| conversation.id));
    }
    assert_eq!(seen, [ids[0], ids[4], ids[3], ids[2], ids[1]]);
}

async fn forgets_a_conversation_with_its_messages(world: World) {
    let id = world.start("gone", world.now).await;
    assert!(world.store.delete(world.owner, id).await.unwrap());
    assert!(!world.store.delete(world.owner, id).await.unwrap());
    assert_eq!(
        world.store.messages(world.owner, id, 0, 10).await.unwrap(),
        None
    );
    let target = Target::Existing(id);
    let appended = world
        .store
        .append(world.owner, &target, &world.turn("x"), world.now)
        .await;
    assert!(!appended.unwrap());
    assert!(world.store.ping().await.is_ok());
}

async fn a_refused_turn_leaves_nothing(world: World) {
    let id = world.start("whole", world.now).await;
    let mut turn = world.turn("twice");
    turn[1].id = turn[0].id;
    let target = Target::Existing(id);
    assert!(
        world
            .store
            .append(world.owner, &target, &turn, world.now)
            .await
            .is_err()
    );
    assert_eq!(
        world
            .store
            .get(world.owner, id)
            .await
            .unwrap()
            .unwrap()
            .message_count,
        2
    );
    assert_eq!(
        world
            .store
            .messages(world.owner, id, 0, 9)
            .await
            .unwrap()
            .unwrap()
            .len(),
        2
    );
}

async fn turns_at_once_are_whole_and_in_a_row(world: World) {
    const AT_ONCE: usize = 8;
    let id = world.start("crowd", world.now).await;
    let target = Target::Existing(id);
    let turns: Vec<_> = (0..AT_ONCE)
        .map(|number| world.turn(&number.to_string()))
        .collect();
    let appended = futures_util::future::join_all(
        turns
            .iter()
            .map(|turn| world.store.append(world.owner, &target, turn, world.now)),
    )
    .await;
    assert!(appended.into_iter().all(|appended| appended.unwrap()));
    let all = world.store.messages(world.owner, id, 0, 100).await;
    let all = all.unwrap().unwrap();
    assert_eq!(all.len(), 2 + 2 * AT_ONCE);
    for (number, message) in (1..).zip(&all) {
        assert_eq!(message.sequence, number);
    }
    // A question and its answer stand together.
    for turn in &turns {
        let at = |id| all.iter().position(|message| message.id == id).unwrap();
        assert_eq!(at(turn[0].id) + 1, at(turn[1].id));
    }
}

macro_rules! contract {
    ($backend:ident, $uri:expr) => {
        mod $backend {
            use super::World;

            contract!(@tests $uri; numbers_messages_without_holes,
                hides_conversations_from_everybody_else, lists_by_last_growth_in_pages,
                forgets_a_conversation_with_its_messages, a_refused_turn_leaves_nothing,
                turns_at_once_are_whole_and_in_a_row);
        }
    };
    (@tests $uri:expr; $($test:ident),+) => {$(
        #[tokio::test]
        async fn $test() {
            let folder = tempfile::tempdir().unwrap();
            let uri: Option<String> = ($uri)(folder.path()).await;
            let Some(uri) = uri else { return };
            super::$test(World::new(&uri).await).await;
        }
    )+};
}

contract!(sqlite_file, async |folder: &std::path::Path| Some(format!(
    "sqlite://{}/generation.db",
    folder.display()
)));
contract!(sqlite_memory, async |_: &std::path::Path| Some(
    "sqlite::memory:".to_owned()
));
contract!(postgres, async |_: &std::path::Path| {
    touchstone_test_services::postgres_database().await
});

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    use touchstone_store::postgres::explain::{Tables, explain};
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let report = explain(&url, &EXPLAINED, Tables::Scratch(20_000))
        .await
        .unwrap();
    let misses: Vec<_> = report.misses().collect();
    assert!(misses.is_empty(), "{misses:#?}");
}
