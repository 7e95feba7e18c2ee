use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;

use super::*;

const LIMITS: Streams = Streams {
    idle: Duration::from_mins(1),
    heartbeat: Duration::ZERO,
    longest: Duration::from_secs(90),
};

fn watched(
    frames: impl futures_util::Stream<Item = Result<&'static str, std::io::Error>> + Send + 'static,
    dialect: Dialect,
) -> WatchedBody {
    WatchedBody::new(
        Body::from_stream(frames),
        dialect,
        LIMITS,
        &Gauge::default(),
    )
}

async fn text(body: WatchedBody) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn broken() -> Result<&'static str, std::io::Error> {
    Err(std::io::Error::other("cut"))
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_event_at_a_boundary() {
    let whole = watched(
        stream::iter([Ok("data: 1\n"), Ok("\n"), broken()]),
        Dialect::Events,
    );
    let ended = "event: error\ndata: {\"code\":\"gateway.service_broke_off\",\
                 \"detail\":\"the answer broke off\"}\n\n";
    assert_eq!(text(whole).await, format!("data: 1\n\n{ended}"));
    let half = watched(
        stream::iter([Ok("data: 1\n\nda"), broken()]),
        Dialect::Events,
    );
    assert_eq!(text(half).await, format!("data: 1\n\nda\n\n{ended}"));
    let openai = text(watched(stream::iter([broken()]), Dialect::OpenAi)).await;
    assert!(openai.starts_with("data: {\"error\":{"), "{openai}");
    assert!(
        watched(stream::iter([broken()]), Dialect::Plain)
            .collect()
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn silence_and_endless_streams_are_cut() {
    let silent = stream::iter([Ok("data: 1\n\n")]).chain(stream::pending());
    let cut = text(watched(silent, Dialect::Events)).await;
    assert!(cut.contains("fell silent"), "{cut}");
    let ticks = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some((Ok("data: 1\n\n"), ()))
    });
    let endless = text(watched(ticks, Dialect::Events)).await;
    assert!(endless.contains("longer than a stream may"), "{endless}");
}

/// The frames of a stream that falls silent after `parts`.
async fn with_heartbeats(parts: &'static [&'static str]) -> Vec<Bytes> {
    let limits = Streams {
        heartbeat: Duration::from_secs(25),
        ..LIMITS
    };
    let parts = stream::iter(parts.iter().map(|part| Ok::<_, std::io::Error>(*part)));
    let body = Body::from_stream(parts.chain(stream::pending()));
    let body = WatchedBody::new(body, Dialect::Events, limits, &Gauge::default());
    let frames: Vec<_> = StreamExt::collect(Body::new(body).into_data_stream()).await;
    frames.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_beats_between_events_and_is_cut_all_the_same() {
    // After the first 60 seconds of silence it is over, with two beats on the way.
    for boundary in ["data: 1\n\n", "data: 1\r\n\r\n", "data: 1\r\r"] {
        let parts: &'static [&'static str] = Box::leak(Box::new([boundary]));
        let frames = with_heartbeats(parts).await;
        assert_eq!(frames[1..3], [HEARTBEAT, HEARTBEAT], "{boundary:?}");
        assert!(frames[3].starts_with(b"event: error"), "{boundary:?}");
        assert_eq!(frames.len(), 4, "{boundary:?}");
    }
    let before_the_first = with_heartbeats(&[]).await;
    assert_eq!(before_the_first[..2], [HEARTBEAT, HEARTBEAT]);
}

#[tokio::test(start_paused = true)]
async fn no_heart_beats_inside_an_event() {
    for inside in ["data: 1", "data: 1\n", "event: x\ndata: 1\r\n", "\r"] {
        let parts: &'static [&'static str] = Box::leak(Box::new(["data: 0\n\n", inside]));
        let frames = with_heartbeats(parts).await;
        assert_eq!(frames.len(), 3, "{inside:?}: {frames:?}");
        assert!(frames[2].starts_with(b"\n\nevent: error"), "{inside:?}");
    }
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_cap_and_no_larger() {
    let body = |size: usize| CappedBody::new(Body::from(vec![0; size]), 10);
    let (fits, exceeded) = body(10);
    assert_eq!(fits.collect().await.unwrap().to_bytes().len(), 10);
    assert!(!exceeded.load(Ordering::Acquire));
    let (large, exceeded) = body(11);
    assert!(large.collect().await.is_err());
    assert!(exceeded.load(Ordering::Acquire));
}

#[test]
fn open_streams_are_counted_while_they_are_open() {
    let gauge = Gauge::default();
    let open = Open::new(&gauge);
    assert_eq!(gauge.get(), 1);
    drop(open);
    assert_eq!(gauge.get(), 0);
}
