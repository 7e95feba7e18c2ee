use super::*;

const TTL: Duration = Duration::from_secs(10);
const STALE: Duration = Duration::from_mins(1);

fn after(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn request(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/documents?a=1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn answer(status: u16, headers: &[(&str, &str)]) -> http::response::Parts {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

fn entry(asked: &Parts, head: &http::response::Parts) -> Entry {
    Entry::new(&view(asked), head, Bytes::from_static(b"{}"), TTL, after(0))
}

fn fitness(entry: &Entry, asked: &Parts, seconds: u64) -> Fitness {
    entry.fitness(&view(asked), STALE, after(seconds))
}

#[test]
fn an_answer_is_fresh_then_stale_then_useless() {
    let asked = request(&[("authorization", "Bearer x")]);
    let entry = entry(&asked, &answer(200, &[]));
    assert_eq!(fitness(&entry, &asked, 0), Fitness::Fresh);
    assert_eq!(fitness(&entry, &asked, 9), Fitness::Fresh);
    assert_eq!(fitness(&entry, &asked, 10), Fitness::Stale);
    assert_eq!(fitness(&entry, &asked, 70), Fitness::Stale);
    assert_eq!(fitness(&entry, &asked, 71), Fitness::Unfit);
}

#[test]
fn the_services_own_rules_come_first() {
    let asked = request(&[]);
    let longer = entry(&asked, &answer(200, &[("cache-control", "max-age=30")]));
    assert_eq!(fitness(&longer, &asked, 29), Fitness::Fresh);
    let strict = entry(
        &asked,
        &answer(200, &[("cache-control", "max-age=5, must-revalidate")]),
    );
    assert_eq!(fitness(&strict, &asked, 4), Fitness::Fresh);
    assert_eq!(fitness(&strict, &asked, 5), Fitness::Unfit);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("set-cookie", "a=b"),
        ("vary", "*"),
        ("degraded", "dense"),
        ("content-type", "text/event-stream"),
    ] {
        let never = entry(&asked, &answer(200, &[(name, value)]));
        assert!(!never.is_storable(), "{name}: {value}");
        assert_eq!(fitness(&never, &asked, 0), Fitness::Unfit);
    }
    for status in [201, 206, 304, 404, 500, 503] {
        assert!(
            !entry(&asked, &answer(status, &[])).is_storable(),
            "{status}"
        );
    }
}

#[test]
fn what_the_answer_varies_by_must_be_the_same() {
    let asked = |value| request(&[("x-mode", value), ("x-other", value)]);
    let entry = entry(&asked("a"), &answer(200, &[("vary", "X-Mode, Accept")]));
    assert_eq!(fitness(&entry, &asked("a"), 1), Fitness::Fresh);
    assert_eq!(fitness(&entry, &asked("b"), 1), Fitness::Unfit);
}

#[test]
fn a_client_that_insists_gets_nothing_old() {
    let asked = request(&[("cache-control", "no-cache")]);
    assert!(insists(&asked) && !insists(&request(&[])));
    let entry = entry(&request(&[]), &answer(200, &[]));
    assert_eq!(fitness(&entry, &asked, 1), Fitness::Unfit);
    let young = request(&[("cache-control", "max-age=3")]);
    assert_eq!(fitness(&entry, &young, 3), Fitness::Fresh);
    assert_eq!(fitness(&entry, &young, 5), Fitness::Stale);
}

#[test]
fn whoever_has_the_answer_is_told_so() {
    let entry = entry(
        &request(&[]),
        &answer(200, &[("content-type", "application/json")]),
    );
    let kept = |seconds| Some(Duration::from_secs(seconds));
    let whole = entry.respond(&request(&[]), kept(3));
    assert_eq!(
        (whole.status(), &whole.headers()["age"]),
        (StatusCode::OK, &"3".parse().unwrap())
    );
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let answer = entry.respond(&request(&[("if-none-match", &known)]), kept(0));
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(answer.headers()["etag"], tag);
    }
    let other = entry.respond(&request(&[("if-none-match", "\"x\"")]), None);
    assert_eq!(other.status(), StatusCode::OK);
}

#[test]
fn a_spare_answer_stands_for_equal_ones_for_a_while() {
    let asked = request(&[]);
    let of_first = [("date", "1"), ("x-request-id", "a"), ("x-count", "7")];
    let spare = |ttl: u64| {
        let (body, ttl) = (Bytes::from_static(b"{}"), Duration::from_secs(ttl));
        Entry::new(&view(&asked), &answer(200, &of_first), body, ttl, after(0))
    };
    let again = answer(
        200,
        &[("date", "2"), ("x-request-id", "b"), ("x-count", "7")],
    );
    let kept = spare(0);
    assert!(kept.is_over(after(0)), "it is never fresh");
    assert!(kept.is_said_again(&again, b"{}", after(4)));
    assert!(!kept.is_said_again(&again, b"{}", after(5)), "too old");
    assert!(!kept.is_said_again(&again, b"[]", after(1)), "another body");
    for headers in [
        &[("x-count", "8")][..],
        &[],
        &[("x-count", "7"), ("etag", "1")],
    ] {
        let other = answer(200, headers);
        assert!(!kept.is_said_again(&other, b"{}", after(1)), "{headers:?}");
    }
    assert!(!kept.is_said_again(&answer(203, &of_first), b"{}", after(1)));
    // What can be fresh is renewed by each answer.
    let fresh = spare(2);
    assert!(!fresh.is_said_again(&again, b"{}", after(1)));
    assert!(!fresh.is_over(after(1)) && fresh.is_over(after(2)));
}

#[test]
fn what_was_said_just_now_has_no_age_and_no_old_date() {
    let asked = request(&[]);
    let entry = entry(&asked, &answer(200, &[("date", "1"), ("server", "x")]));
    let now = entry.respond(&asked, None);
    assert!(!now.headers().contains_key("date") && !now.headers().contains_key("age"));
    let kept = entry.respond(&asked, Some(Duration::from_secs(2)));
    assert_eq!(
        (&kept.headers()["date"], &kept.headers()["age"]),
        (&"1".parse().unwrap(), &"2".parse().unwrap())
    );
    assert!(
        !kept.headers().contains_key("server"),
        "whose it is remains here"
    );
}

#[test]
fn an_entry_keeps_no_buffer_of_a_connection() {
    let read = Bytes::from(vec![b'a'; 9000]);
    let piece = |length| HeaderValue::from_maybe_shared(read.slice(..length)).unwrap();
    let mut asked = request(&[]);
    let mut head = answer(200, &[]);
    for (name, value) in [("vary", "x-mode"), ("cache-control", "max-age=5")] {
        head.headers.insert(name, value.parse().unwrap());
    }
    head.headers.insert("x-from", piece(10));
    asked.headers.insert("x-mode", piece(5));
    let entry = entry(&asked, &head);
    drop((asked, head));
    assert!(entry.is_storable());
    assert!(read.is_unique(), "somebody holds on to what was read");
}
