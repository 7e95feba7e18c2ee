use serde_json::json;
use touchstone_api::Page;
use touchstone_api::generation::{AskResponse, Conversation, Message};
use touchstone_types::Role;

use crate::world::World;

async fn ask(world: &World, question: &str, conversation: Option<&str>) -> AskResponse {
    let mut body = json!({ "question": question });
    if let Some(id) = conversation {
        body["conversation_id"] = json!(id);
    }
    let answer = world.client.post("/ask", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_conversation_grows_without_holes_and_pages() {
    let world = World::new().await;
    let id = ask(&world, "How long is the Nile?", None)
        .await
        .conversation_id
        .to_string();
    ask(&world, "Where do its tributaries meet?", Some(&id)).await;
    let conversation: Conversation = world
        .client
        .get(&format!("/conversations/{id}"))
        .await
        .json();
    assert_eq!(
        (conversation.message_count, conversation.title.as_str()),
        (4, "How long is the Nile?")
    );
    let path = format!("/conversations/{id}/messages?limit=3");
    let first: Page<Message> = world.client.get(&path).await.json();
    let cursor = first.next_cursor.unwrap();
    let second: Page<Message> = world
        .client
        .get(&format!("{path}&cursor={cursor}"))
        .await
        .json();
    let numbers: Vec<u32> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|m| m.sequence)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(second.next_cursor, None);
}

#[tokio::test]
async fn lists_page_by_cursor() {
    let world = World::new().await;
    for _ in 0..3 {
        ask(&world, "How long is the Nile?", None).await;
    }
    let first: Page<Conversation> = world.client.get("/conversations?limit=2").await.json();
    let cursor = first.next_cursor.unwrap();
    let path = format!("/conversations?limit=2&cursor={cursor}");
    let second: Page<Conversation> = world.client.get(&path).await.json();
    assert_eq!(
        (first.items.len(), second.items.len(), second.next_cursor),
        (2, 1, None)
    );
}

#[tokio::test]
async fn nobody_else_sees_or_touches_a_conversation() {
    let world = World::new().await;
    let id = ask(&world, "How long is the Nile?", None)
        .await
        .conversation_id
        .to_string();
    let colleague = world.identity.caller_of(world.caller.tenant, Role::Admin);
    for other in [colleague, world.identity.caller()] {
        let other = world.other(&other);
        let unknown = "404 generation.unknown_conversation";
        let path = format!("/conversations/{id}");
        assert_eq!(other.get(&path).await.problem(), unknown);
        assert_eq!(
            other.get(&format!("{path}/messages")).await.problem(),
            unknown
        );
        assert_eq!(other.delete(&path).await.problem(), unknown);
        let body = json!({ "question": "Mine?", "conversation_id": id });
        assert_eq!(other.post("/ask", &body).await.problem(), unknown);
        assert_eq!(
            other
                .get("/conversations")
                .await
                .json::<Page<Conversation>>()
                .items,
            []
        );
    }
    assert_eq!(
        world
            .client
            .delete(&format!("/conversations/{id}"))
            .await
            .status,
        204
    );
    let again = world.client.delete(&format!("/conversations/{id}")).await;
    assert_eq!(again.problem(), "404 generation.unknown_conversation");
}
