//! What several requests at once may rely on.

use futures_util::future::join_all;

use super::*;

/// So many transactions run at once.
const AT_ONCE: usize = 8;

pub(super) async fn addresses_registered_at_once(world: &World) {
    let registered = join_all((0..AT_ONCE).map(|_| async {
        let account = world.account("race@example.org");
        let (family, address) = (world.family(&account.user), rand_fingerprint());
        let address = KnownAddress {
            fingerprint: address,
            seen_at: world.now,
        };
        let store = &world.store;
        let made = store.create_account(&account, &family, &address).await;
        (account.user.id, family.family.id, made.unwrap())
    }))
    .await;
    assert_eq!(registered.iter().filter(|(.., made)| *made).count(), 1);
    for (user, family, made) in registered {
        assert_eq!(world.store.account(user).await.unwrap().is_some(), made);
        assert_eq!(world.store.family(family).await.unwrap().is_some(), made);
    }
}

pub(super) async fn tokens_refreshed_at_once(world: &World) {
    let store = &world.store;
    let (_, first) = world.registered("refresh@example.org").await;
    let id = first.family.id;
    for generation in 0..5 {
        let children: Vec<_> = (0..AT_ONCE).map(|_| hash()).collect();
        let rotated = join_all(
            children
                .iter()
                .map(|child| store.rotate(id, generation, child, world.now)),
        )
        .await;
        let won: Vec<_> = rotated.into_iter().map(Result::unwrap).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        for (child, won) in children.iter().zip(won) {
            let kept = store.refresh_token(child).await.unwrap();
            assert_eq!(kept.is_some(), won);
        }
        let family = store.family(id).await.unwrap().unwrap();
        assert_eq!(family.generation, generation + 1);
    }
    // The end of a login and its refreshes: after the end nothing lives.
    let ends = store.end_family(id, EndReason::Logout, world.now);
    let children = [hash(), hash()];
    let (ended, ..) = tokio::join!(
        ends,
        store.rotate(id, 5, &children[0], world.now),
        store.rotate(id, 5, &children[1], world.now)
    );
    assert!(ended.unwrap());
    assert!(!world.is_alive(id).await);
}

/// Whoever logs in with the old password while it is changed is not left inside.
pub(super) async fn passwords_changed_during_logins(world: &World) {
    let store = &world.store;
    for round in 0..10 {
        let email = format!("change{round}@example.org");
        let user = world.registered(&email).await.0.user;
        let logins: Vec<_> = (0..AT_ONCE).map(|_| world.family(&user)).collect();
        let fresh = world.family(&user);
        let address = world.address(9);
        let (changed, opened) = tokio::join!(
            store.change_password(user.id, "$first", "$second", &fresh),
            join_all(
                logins
                    .iter()
                    .map(|login| store.open_family(login, "$first", &address))
            )
        );
        assert!(changed.unwrap());
        for (login, opened) in logins.iter().zip(opened) {
            if opened.unwrap() {
                assert!(!world.is_alive(login.family.id).await);
            }
        }
        assert!(world.is_alive(fresh.family.id).await);
    }
}

pub(super) async fn keys_made_at_once(world: &World) {
    let user = world.registered("once@example.org").await.0.user;
    let made = join_all((0..AT_ONCE).map(|_| async {
        let key = world.api_key(&user, Some([5; 32]));
        (key.id, world.store.create_api_key(&key).await.unwrap())
    }))
    .await;
    let new: Vec<_> = made
        .iter()
        .filter(|(_, created)| matches!(created, Created::New))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(new.len(), 1);
    for (_, created) in &made {
        if let Created::Earlier(earlier) = created {
            assert_eq!(earlier.id, new[0]);
        }
    }
    let kept = world.store.api_keys(user.tenant, None, 50).await.unwrap();
    assert_eq!(kept.len(), 1);
}

pub(super) async fn first_starts_at_once(world: &World) {
    let adopted = join_all((0..AT_ONCE).map(|number| async move {
        let key = SigningKey {
            kid: format!("kid {number}"),
            private_key: Zeroizing::new(vec![1]),
            public_key: "x".into(),
            created_at: world.now,
        };
        let keys = world.store.adopt_signing_key(Some(&key), world.now).await;
        let kids: Vec<_> = keys.unwrap().into_iter().map(|key| key.kid).collect();
        kids
    }))
    .await;
    assert_eq!(adopted[0].len(), 1);
    assert!(
        adopted.iter().all(|kids| *kids == adopted[0]),
        "{adopted:?}"
    );
}
