use std::future::pending;

use tokio::io::{AsyncReadExt, duplex};
use tokio::sync::oneshot;

use super::*;

const PATIENCE: Patience = Patience {
    idle: Duration::from_mins(1),
    farewell: Duration::from_secs(5),
};
const MASK: [u8; 4] = [1, 2, 3, 4];

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_is_passed_on_half_by_half() {
    let (mut client, near) = duplex(16);
    let (far, mut upstream) = duplex(16);
    let running = splice(near, far, PATIENCE, MASK, pending());
    let speak = async {
        let mut text = [0; 5];
        client.write_all(b"hello").await.unwrap();
        upstream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        upstream.read_to_end(&mut rest).await.unwrap();
        // The other half lives on.
        upstream.write_all(b"after").await.unwrap();
        client.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"after");
        upstream.shutdown().await.unwrap();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    };
    let (end, ()) = tokio::join!(running, speak);
    assert_eq!(end, End::Finished);
}

#[tokio::test]
async fn more_than_the_other_side_takes_waits_and_is_not_lost() {
    let (mut client, near) = duplex(64 * 1024);
    let (far, mut upstream) = duplex(8);
    let running = splice(near, far, PATIENCE, MASK, pending());
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let speak = async {
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let ((), got) = tokio::join!(write, upstream.read_to_end(&mut read));
        got.unwrap();
        assert!(read == sent);
        upstream.shutdown().await.unwrap();
    };
    tokio::join!(running, speak);
}

#[tokio::test(start_paused = true)]
async fn silence_in_both_directions_ends_it_and_speech_in_one_does_not() {
    let (mut client, near) = duplex(64);
    let (far, mut upstream) = duplex(64);
    let running = splice(near, far, PATIENCE, MASK, pending());
    let speak = async {
        let mut byte = [0; 2];
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            upstream.write_all(&[0x89, 0]).await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
        }
        let mut close = Vec::new();
        client.read_to_end(&mut close).await.unwrap();
        assert_eq!(close[..4], [0x88, 19, 0x03, 0xE9], "{close:?}");
    };
    let (end, ()) = tokio::join!(running, speak);
    assert_eq!(end, End::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_ours_stands_between_frames_never_inside_one() {
    let (mut client, near) = duplex(64);
    let (far, mut upstream) = duplex(64);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = splice(near, far, PATIENCE, MASK, async {
        stopped.await.unwrap();
        End::Expired
    });
    let speak = async {
        // Half a frame, then the end, then the other half and a frame that comes too late.
        upstream.write_all(&[0x82, 4, b'a', b'b']).await.unwrap();
        let mut read = [0; 4];
        client.read_exact(&mut read).await.unwrap();
        stop.send(()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        upstream
            .write_all(&[b'c', b'd', 0x82, 1, b'x'])
            .await
            .unwrap();
        let mut rest = [0; 6];
        client.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest[..2], *b"cd");
        assert_eq!(rest[2], 0x88, "{rest:?}");
        assert_eq!(rest[4..], 4401_u16.to_be_bytes());
        let mut goodbye = Vec::new();
        upstream.read_to_end(&mut goodbye).await.unwrap();
        assert_eq!(goodbye, close(1001, "", Some(MASK)));
    };
    let (end, ()) = tokio::join!(running, speak);
    assert_eq!(end, End::Expired);
}

/// The end of a connection whose service does something after the client said `said`.
async fn end_after(said: &[u8], answer: &[u8], service_first: bool) -> End {
    let (mut client, near) = duplex(64);
    let (far, mut upstream) = duplex(64);
    let running = splice(near, far, PATIENCE, MASK, pending());
    let speak = async {
        client.write_all(said).await.unwrap();
        upstream.write_all(answer).await.unwrap();
        let mut text = vec![0; answer.len()];
        client.read_exact(&mut text).await.unwrap();
        let mut text = vec![0; said.len()];
        upstream.read_exact(&mut text).await.unwrap();
        let mut rest = Vec::new();
        if service_first {
            drop(upstream);
            client.read_to_end(&mut rest).await.unwrap();
            drop(client);
        } else {
            drop(client);
            upstream.read_to_end(&mut rest).await.unwrap();
            drop(upstream);
        }
    };
    let (end, ()) = tokio::join!(running, speak);
    end
}

#[tokio::test]
async fn a_service_that_goes_without_a_word_broke_off() {
    let (ping, close) = ([0x89, 0], [0x88, 0]);
    assert_eq!(end_after(&ping, &ping, true).await, End::ServiceBroke);
    assert_eq!(end_after(&ping, &close, true).await, End::Finished);
    assert_eq!(end_after(&close, &ping, true).await, End::Finished);
    assert_eq!(end_after(&ping, &ping, false).await, End::Finished);
}
