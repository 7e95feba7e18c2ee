//! Tokens of language models, from the request to the settled account: reserved before the answer,
//! counted while it comes, settled by what the service says, and by nothing when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;
use touchstone_testing::Answer;

use crate::support::{Mode, Stack, over_both_transports, tokens_left};

over_both_transports!(
    what_was_reserved_and_not_used_comes_back,
    what_is_reserved_is_gone_while_the_answer_is_awaited,
);

const DAY: u32 = 1000;

async fn stack(mode: Mode, generation: Router) -> Stack {
    Stack::with(mode, [("generation", generation)], |config| {
        let plan = config.quota.limits.plans.get_mut("load").unwrap();
        (plan.tokens_minute, plan.tokens_day) = (0, DAY);
    })
    .await
}

fn whole(tokens: u32) -> Response {
    let answer = json!({ "choices": [], "usage": { "total_tokens": tokens } }).to_string();
    ([("content-type", "application/json")], answer).into_response()
}

async fn ask(stack: &Stack, max_tokens: u32) -> Answer {
    let request = json!({ "max_tokens": max_tokens });
    stack.client().post("/v1/chat/completions", &request).await
}

async fn what_was_reserved_and_not_used_comes_back(mode: Mode) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let generation = Router::new().fallback(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match number % 2 {
                0 => whole(7),
                _ => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            }
        }
    });
    let stack = stack(mode, generation).await;
    // All of it together would be twelve times what there is. Accounts are settled in the background.
    let ask_in_turn = async || loop {
        let answer = ask(&stack, 600).await;
        if answer.status != StatusCode::TOO_MANY_REQUESTS {
            return answer.status;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    for _ in 0..10 {
        assert_eq!(ask_in_turn().await, StatusCode::OK);
        assert_eq!(ask_in_turn().await, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 20);
    tokens_left(&stack, DAY - 10 * 7).await;
    stack.stop().await;
}

async fn what_is_reserved_is_gone_while_the_answer_is_awaited(mode: Mode) {
    let (gate, calls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (held, count) = (Arc::clone(&gate), Arc::clone(&calls));
    let generation = Router::new().fallback(move || {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let held = Arc::clone(&held);
        async move {
            if first {
                held.acquire().await.unwrap().forget();
                return whole(20);
            }
            let events = stream::repeat_with(|| Ok::<_, std::io::Error>("data: {\"x\":1}\n\n"));
            let headers = [("content-type", "text/event-stream")];
            (headers, Body::from_stream(events)).into_response()
        }
    });
    let stack = stack(mode, generation).await;
    let (first, ()) = tokio::join!(ask(&stack, 950), async {
        while calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // 18 bytes of request are 5 tokens, and 950 are for the answer: 45 are left for others.
        let cut = ask(&stack, 10).await.text();
        assert_eq!(cut.matches("{\"x\":1}").count(), 45, "{cut}");
        assert!(cut.contains("quota_exceeded"), "{cut}");
        let denied = ask(&stack, 10).await;
        assert_eq!(denied.problem(), "429 gateway.quota_exceeded");
        gate.add_permits(1);
    });
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // The first one took 20, whatever was reserved for it.
    tokens_left(&stack, DAY - 45 - 20).await;
    stack.stop().await;
}
