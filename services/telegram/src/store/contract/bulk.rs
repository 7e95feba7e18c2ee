//! Many rows, and events that are made of them later.

use super::*;

pub(super) async fn what_is_told_twice_is_written_once(world: World) {
    world.told(posts([row(1, "one"), row(2, "two")])).await;
    let gone = Told {
        deleted: vec![1, 1, 7, 7],
        truth: Some((1, 9)),
        ..posts([row(2, "two")])
    };
    world.told(gone).await;
    let left = world.rows().await.into_iter();
    let left: Vec<_> = left.map(|row| (row.id, row.kind, row.revision)).collect();
    assert_eq!(
        left,
        [
            (1, Kind::Deleted, 2),
            (2, Kind::Post, 1),
            (7, Kind::Deleted, 1)
        ]
    );
}

pub(super) async fn many_rows_are_written_as_they_are(world: World) {
    let many = |text: &str| -> Vec<Row> {
        let post = |id: i32| Row {
            grouped_id: (id % 3 == 0).then_some(i64::MAX - i64::from(id)),
            edited_at: (id % 5 == 0).then_some(id),
            ..tied(
                id,
                &format!("{text} \0 {id}"),
                (id % 2 == 0).then_some(id - 1),
                None,
                1,
            )
        };
        let service = |id: i32| {
            if id % 7 == 0 {
                Row::service(id)
            } else {
                post(id)
            }
        };
        (1..=1_234).map(service).collect()
    };
    world.told(posts(many("first"))).await;
    assert_eq!(world.rows().await, many("first"));
    let edited = many("second").into_iter().map(|row| Row {
        edited_at: Some(2_000),
        ..row
    });
    world.told(posts(edited)).await;
    for row in world.rows().await {
        let revision = if row.kind == Kind::Post { 2 } else { 1 };
        assert_eq!(row.revision, revision, "{row:?}");
    }
}

pub(super) async fn what_a_tenant_wants_is_told_bit_by_bit(world: World) {
    let other = world.ids.next::<TenantId>();
    world.told(posts((1..=10).map(|id| row(id, "text")))).await;
    let tell = async || world.store.tell(4, &world.stamp()).await.unwrap();
    let heard = async || {
        let events = world.events().await.into_iter();
        let heard: Vec<_> = events.map(|it| (it.tenant_id, it.message_id)).collect();
        heard
    };
    assert_eq!(tell().await, None);
    let want = async |tenant, numbers| {
        let wanted = world.store.want(CHANNEL, tenant, numbers);
        wanted.await.unwrap();
    };
    want(world.tenant, (1, 10)).await;
    want(other, (4, 5)).await;
    let untold = async || world.store.untold().await.unwrap();
    assert_eq!(untold().await, 12);
    // Little does not wait behind much.
    assert_eq!(tell().await, Some(2));
    assert_eq!(heard().await, [(other, 4), (other, 5)]);
    for (low, high) in [(7, 10_i32), (3, 6), (1, 2)] {
        assert_eq!(untold().await, u64::from(high.unsigned_abs()));
        assert_eq!(tell().await, Some(high as usize - low as usize + 1));
        let told: Vec<_> = (low..=high).map(|id| (world.tenant, id)).collect();
        assert_eq!(heard().await, told);
    }
    assert_eq!(tell().await, None);

    // Whoever wants more wants that once.
    want(world.tenant, (1, 12)).await;
    want(world.tenant, (1, 12)).await;
    world.store.tell_again().await.unwrap();
    let mut again = Vec::new();
    while tell().await.is_some() {
        again.extend(heard().await);
    }
    again.sort_by_key(|(tenant, id)| (*tenant != other, *id));
    let all = (1..=10).map(|id| (world.tenant, id));
    let all: Vec<_> = [(other, 4), (other, 5)].into_iter().chain(all).collect();
    assert_eq!(again, all);
}

pub(super) async fn whoever_begins_to_follow_wants_what_is_there(world: World) {
    let other = world.ids.next::<TenantId>();
    let now = world.clock.now();
    world.told(posts((1..=5).map(|id| row(id, "text")))).await;
    let follow = async |tenant| world.store.follow(CHANNEL, tenant, now).await.unwrap();
    let untold = async || world.store.untold().await.unwrap();
    let heard = async || {
        while world.store.tell(3, &world.stamp()).await.unwrap().is_some() {}
        let events = world.events().await.into_iter();
        let mut heard: Vec<_> = events.map(|it| (it.tenant_id, it.message_id)).collect();
        heard.sort_by_key(|(tenant, id)| (*tenant != world.tenant, *id));
        heard
    };
    let all = |tenant, last: i32| (1..=last).map(move |id| (tenant, id));
    assert!(follow(world.tenant).await);
    assert_eq!(untold().await, 5);
    assert_eq!(heard().await, all(world.tenant, 5).collect::<Vec<_>>());
    // What comes later is told as it comes, and nothing twice.
    assert_eq!(world.told(posts([row(6, "text")])).await, 1);
    assert!(!follow(world.tenant).await);
    assert_eq!(untold().await, 0);
    assert_eq!(heard().await, [(world.tenant, 6)]);
    assert!(follow(other).await);
    assert_eq!(heard().await, all(other, 6).collect::<Vec<_>>());
    // After the start everybody is told of everything, what came since they follow included.
    world.store.tell_again().await.unwrap();
    let both: Vec<_> = all(world.tenant, 6).chain(all(other, 6)).collect();
    assert_eq!(heard().await, both);
    world.store.tell_again().await.unwrap();
    assert_eq!(heard().await, both);
}

pub(super) async fn the_largest_number_is_one_like_any_other(world: World) {
    world.follow(world.tenant).await;
    let ids = [1, i32::MAX - 1_000, i32::MAX];
    let told = Told {
        truth: Some((1, i32::MAX)),
        covered: vec![(1, i32::MAX)],
        ..posts(ids.map(|id| row(id, "text")))
    };
    assert_eq!(world.told(told).await, 3);
    let held: Vec<i32> = world.rows().await.iter().map(|row| row.id).collect();
    assert_eq!(held, ids);
    assert_eq!(world.store.blocks(CHANNEL).await.unwrap().len(), 3);
}

pub(super) async fn what_is_gone_of_much_is_taken_in_pieces(world: World) {
    let ids = (1..=200).map(|number| number * 100);
    let told = Told {
        pts: Some(5),
        ..posts(ids.map(|id| row(id, "text")))
    };
    world.told(told).await;
    // A channel of which three posts are left.
    let left = [300, 9_000, 30_000];
    let whole = Told {
        truth: Some((300, i32::MAX)),
        covered: vec![(300, 30_000)],
        pts: Some(9),
        since: Some(5),
        ..posts(left.map(|id| row(id, "text")))
    };
    let pieces = whole.pieces(20_000);
    assert_eq!(pieces.len(), 6);
    let kinds = async || {
        let rows = world.rows().await.into_iter();
        rows.partition::<Vec<_>, _>(|row| row.kind == Kind::Post)
    };
    for (number, piece) in pieces.into_iter().enumerate() {
        let (low, high) = piece.truth.unwrap();
        assert!(high - low < 5_000, "{low} to {high}");
        let known = world.store.channel(CHANNEL).await.unwrap().unwrap();
        // Cut off here, all of it would be asked for again.
        assert_eq!(
            (known.pts, world.store.coverage(CHANNEL).await.unwrap()),
            (5, vec![])
        );
        world.told(piece).await;
        let (posts, _) = kinds().await;
        let above = posts.iter().filter(|row| row.id >= low).count();
        let wanted = left.iter().filter(|id| **id >= low).count();
        assert_eq!(above, wanted, "after piece {number}");
    }
    let (posts, gone) = kinds().await;
    let posts: Vec<i32> = posts.iter().map(|row| row.id).collect();
    assert_eq!(posts, [100, 200, 300, 9_000, 30_000]);
    assert_eq!(gone.len(), 196);
    let known = world.store.channel(CHANNEL).await.unwrap().unwrap();
    let covered = world.store.coverage(CHANNEL).await.unwrap();
    assert_eq!((known.pts, covered), (9, vec![(300, 30_000)]));
}
