//! What every store must do, run on every backend that exists.

mod parallel;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use touchstone_types::{ApiKeyId, Clock, FrozenClock, IdSource, Role};
use zeroize::Zeroizing;

use self::parallel::*;
use super::*;
use crate::secrets::{FamilySeed, Opaque};

struct World {
    store: Arc<dyn Store>,
    ids: IdSource,
    now: DateTime<Utc>,
}

impl World {
    async fn new(uri: &str) -> Self {
        let store = open(&uri.into(), &Options::default()).await.unwrap();
        Self {
            store,
            ids: IdSource::system(),
            now: FrozenClock::default().now(),
        }
    }

    fn account(&self, email: &str) -> Account {
        let tenant = Tenant {
            id: self.ids.next(),
            name: "Tenant".into(),
            created_at: self.now,
        };
        let user = User {
            id: self.ids.next(),
            tenant: tenant.id,
            email: email.to_uppercase(),
            email_key: email.into(),
            password_hash: "$first".into(),
            role: Role::Admin,
            created_at: self.now,
        };
        Account { user, tenant }
    }

    fn family(&self, user: &User) -> NewFamily {
        NewFamily {
            family: Family {
                id: self.ids.next(),
                user: user.id,
                tenant: user.tenant,
                generation: 0,
                rotated_at: self.now,
                created_at: self.now,
                expires_at: self.now + TimeDelta::days(30),
                ended_at: None,
            },
            seed: FamilySeed::random().unwrap(),
            token: hash(),
        }
    }

    fn address(&self, number: u8) -> KnownAddress {
        KnownAddress {
            fingerprint: [number; 32],
            seen_at: self.now,
        }
    }

    async fn registered(&self, email: &str) -> (Account, NewFamily) {
        let account = self.account(email);
        let family = self.family(&account.user);
        let address = KnownAddress {
            fingerprint: rand_fingerprint(),
            seen_at: self.now,
        };
        assert!(
            self.store
                .create_account(&account, &family, &address)
                .await
                .unwrap()
        );
        (account, family)
    }

    fn api_key(&self, user: &User, idempotency_hash: Option<[u8; 32]>) -> ApiKeyRecord {
        ApiKeyRecord {
            id: self.ids.next(),
            tenant: user.tenant,
            user: user.id,
            name: "key".into(),
            prefix: "tsk_12345678".into(),
            hash: hash(),
            created_at: self.now,
            expires_at: Some(self.now + TimeDelta::days(1)),
            last_used_at: None,
            idempotency_hash,
            request_hash: [9; 32],
        }
    }

    async fn is_alive(&self, id: FamilyId) -> bool {
        self.store
            .family(id)
            .await
            .unwrap()
            .unwrap()
            .is_alive(self.now)
    }
}

fn hash() -> SecretHash {
    Opaque::refresh_token().unwrap().hash()
}

fn rand_fingerprint() -> [u8; 32] {
    *hash().as_bytes()
}

async fn accounts(world: &World) {
    let store = &world.store;
    let (account, family) = world.registered("ada@example.org").await;
    assert_eq!(
        store.account(account.user.id).await.unwrap(),
        Some(account.clone())
    );
    assert_eq!(
        store.user_by_email("ada@example.org").await.unwrap(),
        Some(account.user.clone())
    );
    assert_eq!(store.user_by_email("ADA@EXAMPLE.ORG").await.unwrap(), None);
    assert_eq!(
        store.family(family.family.id).await.unwrap(),
        Some(family.family.clone())
    );

    // A taken address leaves nothing of the second account behind.
    let second = world.account("ada@example.org");
    let other = world.family(&second.user);
    assert!(
        !store
            .create_account(&second, &other, &world.address(1))
            .await
            .unwrap()
    );
    assert_eq!(store.account(second.user.id).await.unwrap(), None);
    assert_eq!(store.family(other.family.id).await.unwrap(), None);
    assert!(!store.knows_address(&[1; 32], world.now).await.unwrap());

    let member = User {
        id: world.ids.next(),
        email_key: "bob@example.org".into(),
        role: Role::Member,
        ..account.user.clone()
    };
    assert!(store.add_user(&member).await.unwrap());
    assert!(
        !store
            .add_user(&User {
                id: world.ids.next(),
                ..member.clone()
            })
            .await
            .unwrap()
    );
    let read = store.account(member.id).await.unwrap().unwrap();
    assert_eq!((read.user, read.tenant), (member, account.tenant));
}

async fn passwords(world: &World) {
    let store = &world.store;
    let (account, first) = world.registered("pass@example.org").await;
    let user = account.user;
    assert!(store.rehash(user.id, "$first", "$second").await.unwrap());
    assert!(!store.rehash(user.id, "$first", "$third").await.unwrap());

    // A login with the hash of before the change does not open.
    let late = world.family(&user);
    assert!(
        !store
            .open_family(&late, "$first", &world.address(2))
            .await
            .unwrap()
    );
    assert_eq!(store.family(late.family.id).await.unwrap(), None);
    assert!(!store.knows_address(&[2; 32], world.now).await.unwrap());
    let second = world.family(&user);
    assert!(
        store
            .open_family(&second, "$second", &world.address(2))
            .await
            .unwrap()
    );
    assert!(store.knows_address(&[2; 32], world.now).await.unwrap());
    let later = world.now + TimeDelta::seconds(1);
    assert!(!store.knows_address(&[2; 32], later).await.unwrap());

    let fresh = world.family(&user);
    assert!(
        !store
            .change_password(user.id, "$first", "$fourth", &fresh)
            .await
            .unwrap()
    );
    assert!(world.is_alive(second.family.id).await);
    assert!(
        store
            .change_password(user.id, "$second", "$fourth", &fresh)
            .await
            .unwrap()
    );
    for dead in [&first, &second] {
        assert!(!world.is_alive(dead.family.id).await);
    }
    assert!(world.is_alive(fresh.family.id).await);
    let read = store.account(user.id).await.unwrap().unwrap();
    assert_eq!(read.user.password_hash, "$fourth");
}

async fn families(world: &World) {
    let store = &world.store;
    let (_, first) = world.registered("fam@example.org").await;
    let id = first.family.id;
    let (child, stranger) = (hash(), hash());
    let later = world.now + TimeDelta::seconds(5);
    assert!(store.rotate(id, 0, &child, later).await.unwrap());
    assert!(!store.rotate(id, 0, &stranger, later).await.unwrap());
    assert!(
        !store
            .rotate(world.ids.next(), 0, &stranger, later)
            .await
            .unwrap()
    );
    let offered = store.refresh_token(&child).await.unwrap().unwrap();
    assert_eq!((offered.generation, offered.family.generation), (1, 1));
    assert_eq!(offered.family.rotated_at, later);
    assert_eq!(offered.seed.as_bytes(), first.seed.as_bytes());
    let spent = store.refresh_token(&first.token).await.unwrap().unwrap();
    assert_eq!((spent.generation, spent.family.id), (0, id));
    assert!(store.refresh_token(&stranger).await.unwrap().is_none());

    assert!(
        store
            .end_family(id, EndReason::Replayed, later)
            .await
            .unwrap()
    );
    assert!(
        !store
            .end_family(id, EndReason::Logout, later)
            .await
            .unwrap()
    );
    assert!(!store.rotate(id, 1, &stranger, later).await.unwrap());
    let ended = store.refresh_token(&child).await.unwrap().unwrap();
    assert_eq!(ended.family.ended_at, Some(later));
}

async fn expiry(world: &World) {
    let store = &world.store;
    let (account, first) = world.registered("old@example.org").await;
    let user = &account.user;
    let end = first.family.expires_at;
    assert!(
        !store
            .rotate(first.family.id, 0, &hash(), end)
            .await
            .unwrap()
    );
    let mut young = world.family(user);
    young.family.expires_at = end + TimeDelta::days(1);
    assert!(
        store
            .open_family(&young, "$first", &world.address(3))
            .await
            .unwrap()
    );
    store.purge(end, world.now).await.unwrap();
    assert!(store.family(first.family.id).await.unwrap().is_some());
    assert!(
        store
            .purge(end + TimeDelta::seconds(1), world.now)
            .await
            .unwrap()
            > 0
    );
    assert_eq!(store.family(first.family.id).await.unwrap(), None);
    assert!(store.refresh_token(&first.token).await.unwrap().is_none());
    assert!(world.is_alive(young.family.id).await);
    assert!(store.knows_address(&[3; 32], world.now).await.unwrap());
    store
        .purge(world.now, world.now + TimeDelta::seconds(1))
        .await
        .unwrap();
    assert!(!store.knows_address(&[3; 32], world.now).await.unwrap());
}

async fn api_keys(world: &World) {
    let store = &world.store;
    let user = world.registered("keys@example.org").await.0.user;
    let stranger = world.registered("other@example.org").await.0.user;
    let first = world.api_key(&user, Some([1; 32]));
    assert!(matches!(
        store.create_api_key(&first).await.unwrap(),
        Created::New
    ));
    let again = ApiKeyRecord {
        id: world.ids.next(),
        ..first.clone()
    };
    let Created::Earlier(earlier) = store.create_api_key(&again).await.unwrap() else {
        panic!("made twice")
    };
    assert_eq!(
        (earlier.id, earlier.request_hash),
        (first.id, first.request_hash)
    );
    // The same idempotency hash in another tenant is another one.
    let foreign = world.api_key(&stranger, Some([1; 32]));
    assert!(matches!(
        store.create_api_key(&foreign).await.unwrap(),
        Created::New
    ));
    let second = world.api_key(&user, None);
    let third = world.api_key(&user, None);
    for key in [&second, &third] {
        assert!(matches!(
            store.create_api_key(key).await.unwrap(),
            Created::New
        ));
    }

    let ids = async |after, limit| -> Vec<ApiKeyId> {
        let page = store.api_keys(user.tenant, after, limit).await.unwrap();
        page.into_iter().map(|key| key.id).collect()
    };
    let mut all = vec![first.id, second.id, third.id];
    all.sort();
    assert_eq!(ids(None, 10).await, all);
    assert_eq!(ids(None, 2).await, all[..2]);
    assert_eq!(ids(Some(all[1]), 2).await, all[2..]);

    let found = store.api_keys_by_prefix("tsk_12345678").await.unwrap();
    assert_eq!(found.len(), 4);
    let (record, owner) = found.iter().find(|(key, _)| key.id == first.id).unwrap();
    assert_eq!(owner, &user);
    assert!(record.hash.matches(&first.hash));
    assert_eq!(record.expires_at, first.expires_at);
    assert!(store.api_keys_by_prefix("tsk_").await.unwrap().is_empty());

    let new = hash();
    assert!(
        store
            .replace_unused_secret(first.id, "tsk_abcdefgh", &new)
            .await
            .unwrap()
    );
    let later = world.now + TimeDelta::minutes(1);
    store.touch_api_key(first.id, later).await.unwrap();
    store.touch_api_key(first.id, world.now).await.unwrap();
    let (record, _) = store
        .api_keys_by_prefix("tsk_abcdefgh")
        .await
        .unwrap()
        .remove(0);
    assert_eq!(record.last_used_at, Some(later));
    assert!(record.hash.matches(&new));
    assert!(
        !store
            .replace_unused_secret(first.id, "tsk_12345678", &hash())
            .await
            .unwrap()
    );

    assert!(
        !store
            .delete_api_key(stranger.tenant, first.id)
            .await
            .unwrap()
    );
    assert!(store.delete_api_key(user.tenant, first.id).await.unwrap());
    assert!(!store.delete_api_key(user.tenant, first.id).await.unwrap());
}

async fn signing_keys(world: &World) {
    let key = |kid: &str| SigningKey {
        kid: kid.into(),
        private_key: Zeroizing::new(vec![1, 2, 3]),
        public_key: "x".into(),
        created_at: world.now,
    };
    let store = &world.store;
    assert!(
        store
            .adopt_signing_key(None, world.now)
            .await
            .unwrap()
            .is_empty()
    );
    let kids = async |candidate| -> Vec<String> {
        let keys = store
            .adopt_signing_key(Some(&candidate), world.now)
            .await
            .unwrap();
        keys.into_iter().map(|key| key.kid).collect()
    };
    // Two that start at once agree on one key.
    assert_eq!(kids(key("one")).await, ["one"]);
    assert_eq!(kids(key("two")).await, ["one"]);
}

macro_rules! contract_suite {
    ($($rule:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&super::World::new("sqlite::memory:").await).await;
            })+
        }

        mod file {
            $(#[tokio::test]
            async fn $rule() {
                let directory = tempfile::tempdir().unwrap();
                let uri = format!("sqlite://{}/auth.db", directory.path().display());
                super::$rule(&super::World::new(&uri).await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $rule() {
                let Some(url) = touchstone_test_services::postgres_database().await else {
                    return;
                };
                super::$rule(&super::World::new(&url).await).await;
            })+
        }
    };
}

contract_suite!(
    accounts,
    passwords,
    families,
    expiry,
    api_keys,
    signing_keys,
    addresses_registered_at_once,
    tokens_refreshed_at_once,
    passwords_changed_during_logins,
    keys_made_at_once,
    first_starts_at_once,
);

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("sqlite://{}/auth.db", directory.path().display());
    let world = World::new(&uri).await;
    world.registered("ada@example.org").await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

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
