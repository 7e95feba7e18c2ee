use serde_json::{Value, json};
use touchstone_telegram_simulator::{Post, Truth};
use touchstone_types::Clock;

use crate::support::{DUROV, Scene};

/// What is true of the newest `limit` posts, in the words of the API.
fn expected(truth: &Truth, limit: usize) -> Vec<Value> {
    let channel = &truth.channel;
    let told = |post: &Post| {
        let media = post
            .media
            .as_ref()
            .map(|media| serde_json::to_value(media).map(|media| media["type"].clone()));
        let media = media.and_then(Result::ok);
        let date = chrono::DateTime::from_timestamp(i64::from(post.date), 0).unwrap_or_default();
        json!({
            "message_id": post.id,
            "channel_id": channel.id,
            "channel_title": channel.title,
            "channel_username": channel.username,
            "text": post.text,
            "date": date.to_rfc3339(),
            "sender_id": -1_000_000_000_000 - channel.id,
            "views": post.views,
            "forwards": post.forwards,
            "reply_to_msg_id": post.reply_to,
            "media_url": media.as_ref().map(|_| format!("/media/{}/{}", channel.id, post.id)),
            "media_type": media,
            "sync_type": "realtime",
        })
    };
    truth.posts.iter().rev().take(limit).map(told).collect()
}

#[tokio::test]
async fn a_channel_is_parsed_as_documented_whatever_it_is_called() {
    let scene = Scene::start().await;
    let truth = scene.simulator.truth(DUROV).unwrap();
    for name in [
        "durov",
        "@Durov",
        "t.me/durov",
        "https://t.me/durov",
        "https://t.me/s/durov?before=9",
        "http://telegram.me/DUROV/468",
    ] {
        let answer = scene.parse(name, 5).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let body: Value = answer.json();
        assert_eq!(body["success"], true);
        assert_eq!(body["message"], "Successfully parsed 5 posts from durov");
        let data = &body["data"];
        assert_eq!(data["posts"], json!(expected(&truth, 5)), "{name}");
        assert_eq!(
            (&data["channel"], &data["total_parsed"]),
            (&json!("durov"), &json!(5))
        );
        let files = &data["files"];
        let (json, txt) = (
            files["json"].as_str().unwrap(),
            files["txt"].as_str().unwrap(),
        );
        for (name, ending) in [(json, "json"), (txt, "txt")] {
            assert!(name.starts_with("telegram_posts_durov_2"), "{name}");
            assert_eq!(name.rsplit_once('.').map(|(_, own)| own), Some(ending));
        }
    }
    // The name was resolved once, and remembered.
    assert_eq!(scene.calls("contacts.resolveUsername").len(), 1);
}

#[tokio::test]
async fn a_private_channel_is_parsed_by_its_invite_link_once_it_was_joined() {
    let scene = Scene::start().await;
    for link in ["https://t.me/+SecretHash_1", "t.me/joinchat/SecretHash_1"] {
        let refused = scene.parse(link, 5).await;
        assert_eq!(refused.problem(), "403 telegram.channel_private", "{link}");
    }
    let joined = scene.join("https://t.me/+SecretHash_1").await;
    let id = joined["id"].as_i64().unwrap();
    let data = scene.parsed("+SecretHash_1", 3).await;
    let truth = scene.simulator.truth(id).unwrap();
    assert_eq!(data["posts"], json!(expected(&truth, 3)));
    assert_eq!(data["channel"], json!(id.to_string()));
}

#[tokio::test]
async fn all_pages_of_a_channel_are_walked_and_both_files_hold_every_post() {
    let scene = Scene::start().await;
    let truth = scene
        .simulator
        .channels()
        .into_iter()
        .find(|channel| channel.title == "Новости")
        .and_then(|channel| scene.simulator.truth(channel.id))
        .unwrap();
    let data = scene.parsed("novosti", 10_000).await;
    let posts = expected(&truth, 10_000);
    assert!(posts.len() > 200, "three pages");
    assert_eq!(data["posts"], json!(posts));
    assert_eq!(
        scene.calls("messages.getHistory").len(),
        4,
        "the last one is empty"
    );

    let read = async |kind: &str| {
        let name = data["files"][kind].as_str().unwrap().to_owned();
        let answer = scene.client.get(&format!("/files/{name}")).await;
        assert_eq!(answer.status, 200);
        (answer.text(), name)
    };
    // The clock of tests stands still.
    let now = scene.identity.clock.now();
    let (text, name) = read("txt").await;
    let mut wanted = format!(
        "Парсинг выполнен: {}\nКанал: novosti\nВсего постов: {}\n{}\n",
        now.format("%Y-%m-%d %H:%M:%S"),
        posts.len(),
        "=".repeat(50)
    );
    for post in &posts {
        let (date, text) = (
            post["date"].as_str().unwrap(),
            post["text"].as_str().unwrap(),
        );
        let (id, views, line) = (&post["message_id"], &post["views"], "-".repeat(30));
        let told = format!(
            "\nID: {id}\nДата: {date}\nКанал: Новости\nПросмотры: {views}\nТекст: {text}\n{line}\n"
        );
        wanted.push_str(&told);
    }
    assert_eq!(text, wanted);
    assert_eq!(
        name,
        format!("telegram_posts_novosti_{}.txt", now.format("%Y%m%d_%H%M%S"))
    );

    let (text, _) = read("json").await;
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        file,
        json!({
            "parsed_at": now.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
            "channel": "novosti",
            "total_posts": posts.len(),
            "posts": posts,
        })
    );
    // Byte for byte as a serialiser with two spaces writes it, letters as they are.
    let order = ["parsed_at", "channel", "total_posts", "posts"];
    let places: Vec<_> = order.map(|key| text.find(&format!("\"{key}\""))).to_vec();
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    assert!(
        text.contains("Новости") && !text.contains("\\u"),
        "letters are not escaped"
    );
}

#[tokio::test]
async fn requests_that_break_a_rule_are_told_which() {
    let scene = Scene::start().await;
    for limit in [0, 10_001, 20_000] {
        assert_eq!(
            scene.parse("durov", limit).await.problem(),
            "422 request.invalid"
        );
    }
    for (name, problem) in [
        ("", "422 request.invalid"),
        ("@", "422 request.invalid"),
        ("a b", "422 request.invalid"),
        ("1abc", "422 request.invalid"),
        ("https://example.com/durov", "422 request.invalid"),
        ("t.me/+x", "422 request.invalid"),
        ("nobody_is_called_so", "404 telegram.channel_not_found"),
        ("+NoSuchInvite", "422 telegram.bad_invite"),
    ] {
        assert_eq!(scene.parse(name, 5).await.problem(), problem, "{name:?}");
    }
    let user = scene
        .simulator
        .read(|world| world.users[1].username.clone())
        .unwrap();
    assert_eq!(
        scene.parse(&user, 5).await.problem(),
        "422 telegram.not_a_channel"
    );
    for body in [
        json!({}),
        json!({"channel_username": "durov", "limit": -1}),
        json!([]),
    ] {
        let answer = scene.client.post("/channels/parse", &body).await;
        assert!(
            [400, 422].contains(&answer.status.as_u16()),
            "{body}: {}",
            answer.text()
        );
    }
    assert!(scene.files().is_empty(), "nothing was written");
}

#[tokio::test]
async fn nobody_parses_without_a_credential() {
    let scene = Scene::start().await;
    let stranger = scene.stranger();
    let body = json!({"channel_username": "durov", "limit": 5});
    let answer = stranger.post("/channels/parse", &body).await;
    assert_eq!(answer.status, 401);
}
