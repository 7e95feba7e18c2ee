use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{SOON, Server, in_time, until_closed};

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection() {
    let server = Server::start(|edge| edge.head_timeout = SOON).await;
    let mut stream = server.connect().await;
    // Every byte would be in time; the head as a whole is not.
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
    assert_eq!((server.counted("slow_head"), server.reached()), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let server = Server::start(|edge| edge.head_timeout = SOON).await;
    for beginning in ["", "PRI * HT"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(until_closed(&mut stream).await, "");
    }
    assert!(server.counted("no_request") >= 1);
    server.stop().await;
}

#[tokio::test]
async fn a_second_head_that_does_not_end_ends_the_connection_too() {
    let server = Server::start(|edge| edge.head_timeout = SOON).await;
    let answer = server
        .exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n")
        .await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert_eq!(server.counted("slow_head"), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let server = Server::start(|edge| edge.head_timeout = SOON).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n0") {
            let byte = in_time(stream.read_u8()).await.unwrap();
            read.push(byte);
        }
        tokio::time::sleep(2 * SOON).await;
    }
    drop(stream);
    assert_eq!(server.reached(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_falls_silent_is_told_and_given_up() {
    let server = Server::start(|edge| edge.body_silence = SOON).await;
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n1\r\nx");
        let answer = server.exchange(request).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    assert_eq!(server.counted("slow_body"), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_although_it_never_falls_silent() {
    let server = Server::start(|edge| {
        edge.body_grace = SOON;
        edge.body_rate = 1_000_000;
    })
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    };
    let mut answer = String::new();
    tokio::select! {
        () = drip => {}
        read = in_time(reader.read_to_string(&mut answer)) => { read.unwrap(); }
    }
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert_eq!(server.counted("slow_body"), 1);
    drop((reader, writer));
    server.stop().await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_reaches_a_client_that_sends_it_all() {
    let server = Server::start(|_| ()).await;
    for _ in 0..20 {
        let mut stream = server.connect().await;
        let body = vec![b'x'; 16 << 20];
        let head = format!(
            "POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        in_time(stream.write_all(&body)).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_ends_an_unwanted_body_is_dropped() {
    let server = Server::start(|edge| edge.body_silence = SOON).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        .await
        .unwrap();
    in_time(async { while stream.write_all(&[b'x'; 1024]).await.is_ok() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped() {
    let server = Server::start(|edge| edge.reader_silence = SOON).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    in_time(async {
        while server.counted("slow_reader") == 0 {
            tokio::time::sleep(SOON / 10).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_and_what_hides_behind_it_too() {
    let server = Server::start(|_| ()).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n{smuggled}"
        ),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 40\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{smuggled}"),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ] {
        let answer = server.exchange(&request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{request}\n{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    }
    assert_eq!((server.counted("two_lengths"), server.reached()), (2, 0));
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_read_behind_a_chunked_body() {
    let server = Server::start(|_| ()).await;
    let answer = server
        .exchange(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        .await;
    assert!(answer.ends_with("\r\n\r\n3"), "{answer}");
    assert_eq!(server.reached(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(|_| ()).await;
    let flood = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Flood: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = server.exchange(flood).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X-A: b\r\n".repeat(5000)
    );
    let answer = server.exchange(many).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(server.reached(), 0);
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_and_places_come_back() {
    for (all, each, reason) in [(2, 9, "limit"), (9, 2, "address_limit")] {
        let server = Server::start(|edge| {
            edge.connections = all;
            edge.connections_per_address = each;
        })
        .await;
        let keep = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = server.connect().await;
            stream.write_all(keep.as_bytes()).await.unwrap();
            in_time(stream.read_u8()).await.unwrap();
            open.push(stream);
        }
        let mut refused = server.connect().await;
        let answer = until_closed(&mut refused).await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: "),
            "{answer}"
        );
        assert_eq!(server.counted(reason), 1);
        open.pop();
        in_time(async {
            while server.metrics.open.get() != 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let close = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(server.exchange(close).await.starts_with("HTTP/1.1 200"));
        drop(open);
        server.stop().await;
    }
}
