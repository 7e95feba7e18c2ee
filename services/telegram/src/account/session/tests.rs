use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::*;
use crate::store::SqliteStore;

fn session(dc: u8, ip: &[u8], key: u8) -> StringSession {
    let mut bytes = vec![dc];
    bytes.extend(ip);
    bytes.extend(443_u16.to_be_bytes());
    bytes.extend([key; 256]);
    StringSession::parse(&format!("1{}", URL_SAFE.encode(bytes))).unwrap()
}

async fn opened(store: &Arc<dyn Store>, home: &StringSession) -> AccountSession {
    let begin = Beginning {
        home,
        elsewhere: &[],
        store: Arc::clone(store),
    };
    AccountSession::open(begin).await.unwrap()
}

async fn store() -> Arc<dyn Store> {
    Arc::new(
        Box::pin(SqliteStore::open("sqlite::memory:"))
            .await
            .unwrap(),
    )
}

fn announced(id: i32, address: &str, key: Option<&[u8; 256]>) -> DcOption {
    let ipv4 = address.parse().unwrap();
    let (ipv4, ipv6) = both_families(SocketAddr::V4(ipv4));
    DcOption {
        id,
        ipv4,
        ipv6,
        auth_key: key.copied(),
    }
}

#[tokio::test]
async fn the_home_stays_where_the_session_says_with_its_key() {
    let store = store().await;
    let session = opened(&store, &session(2, &[149, 154, 167, 51], 7)).await;
    let wrong = announced(2, "6.6.6.6:443", Some(&[9; 256]));
    session.set_dc_option(&wrong).await.unwrap();
    session.set_home_dc_id(4).await.unwrap();
    let home = session.dc_option(2).unwrap().unwrap();
    assert_eq!(home.ipv4, "149.154.167.51:443".parse().unwrap());
    assert_eq!(home.auth_key, Some([7; 256]));
    assert_eq!(session.home_dc_id(), Ok(2));
    assert_eq!(store.keys(session.account()).await.unwrap(), []);
}

#[tokio::test]
async fn the_home_may_be_at_an_ipv6_address() {
    let store = store().await;
    let mut ip = [0; 16];
    ip[15] = 1;
    let session = opened(&store, &session(2, &ip, 7)).await;
    let wrong = announced(2, "6.6.6.6:443", None);
    session.set_dc_option(&wrong).await.unwrap();
    let home = session.dc_option(2).unwrap().unwrap();
    assert_eq!(home.ipv6, "[::1]:443".parse().unwrap());
    assert!(session.is_ipv6());
    assert_eq!(session.at("[::1]:443".parse().unwrap()), Some(2));
}

#[tokio::test]
async fn keys_of_other_data_centres_are_kept_and_open_with_the_session_alone() {
    let store = store().await;
    let home = session(2, &[127, 0, 0, 1], 7);
    let key: [u8; 256] = std::array::from_fn(|at| at as u8);
    let first = opened(&store, &home).await;
    let other = announced(4, "149.154.167.91:443", Some(&key));
    first.set_dc_option(&other).await.unwrap();
    // Without a key there is nothing to keep.
    first
        .set_dc_option(&announced(5, "91.108.56.1:443", None))
        .await
        .unwrap();
    let kept = store.keys(first.account()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(
        !kept[0].1.windows(8).any(|part| part == &key[..8]),
        "not in clear"
    );

    let second = opened(&store, &home).await;
    let known = second.dc_option(4).unwrap().unwrap();
    assert_eq!((known.auth_key, known.ipv4), (Some(key), other.ipv4));
    assert_eq!(second.at("149.154.167.91:443".parse().unwrap()), Some(4));

    // Another session has another name and another seal.
    let stranger = opened(&store, &session(2, &[127, 0, 0, 1], 8)).await;
    assert!(stranger.dc_option(4).unwrap().is_none());
    store
        .keep_key(stranger.account(), 4, &kept[0].1)
        .await
        .unwrap();
    let stranger = opened(&store, &session(2, &[127, 0, 0, 1], 8)).await;
    assert!(stranger.dc_option(4).unwrap().is_none());
}

#[tokio::test]
async fn an_account_on_this_machine_does_not_know_telegrams_addresses() {
    let store = store().await;
    let home = session(2, &[127, 0, 0, 1], 7);
    let simulated = opened(&store, &home).await;
    assert!((1..6).all(|dc| dc == 2 || simulated.dc_option(dc).unwrap().is_none()));
    let real = opened(&store, &session(2, &[149, 154, 167, 51], 7)).await;
    assert!(real.dc_option(4).unwrap().is_some());
}
