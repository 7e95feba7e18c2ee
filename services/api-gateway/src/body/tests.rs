use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;

use super::*;

const LIMITS: Streams = Streams {
    idle: Duration::from_mins(1),
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
    let open = OpenStream::new(&gauge);
    assert_eq!(gauge.get(), 1);
    drop(open);
    assert_eq!(gauge.get(), 0);
}
