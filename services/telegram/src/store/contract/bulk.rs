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
