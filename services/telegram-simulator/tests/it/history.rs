use grammers_client::peer::Peer;
use touchstone_telegram_simulator::Scenario;

use crate::support::scene;

#[tokio::test]
async fn a_client_reads_the_whole_history_as_it_is() {
    let scene = scene(Scenario::default()).await;
    assert!(scene.client.is_authorized().await.unwrap());
    let me = scene.client.get_me().await.unwrap();
    assert_eq!(me.id().bare_id(), Some(700_000));

    let found = scene.client.resolve_username("durov").await.unwrap();
    let Some(Peer::Channel(channel)) = found else {
        panic!("a channel");
    };
    assert_eq!(channel.title(), "Pavel Durov");
    let peer = channel.to_ref().await.unwrap().unwrap();
    let id = channel.id().bare_id().unwrap();
    let truth = scene.simulator.truth(id).unwrap();

    let mut read = Vec::new();
    let mut messages = scene.client.iter_messages(peer);
    while let Some(message) = messages.next().await.unwrap() {
        read.push(message);
    }
    assert_eq!(
        messages.total().await.unwrap(),
        truth.channel.count as usize
    );
    read.reverse();
    let service: Vec<i32> = truth.service.clone();
    let posts: Vec<_> = read.iter().filter(|m| !service.contains(&m.id())).collect();
    assert_eq!(read.len(), truth.posts.len() + service.len());
    assert_eq!(posts.len(), truth.posts.len());
    for (message, post) in posts.iter().zip(&truth.posts) {
        assert_eq!(message.id(), post.id);
        assert_eq!(message.text(), post.text);
        assert_eq!(message.date().as_second(), i64::from(post.date));
        assert_eq!(message.view_count(), Some(post.views));
        assert_eq!(message.forward_count(), Some(post.forwards));
        assert_eq!(message.reply_to_message_id(), post.reply_to);
        assert_eq!(message.grouped_id(), post.grouped_id);
        assert_eq!(message.media().is_some(), post.media.is_some());
    }
}
