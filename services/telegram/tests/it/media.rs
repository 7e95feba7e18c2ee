use touchstone_telegram_simulator::{Fault, Media, PostRequest};

use crate::support::{DUROV, Scene};

/// A photograph of three pieces.
const LARGE: i32 = (2 << 20) + 4_321;

fn photograph() -> PostRequest {
    PostRequest {
        photo: Some(LARGE),
        ..PostRequest::text("large")
    }
}

#[tokio::test]
async fn media_come_whole_also_when_their_references_expire_on_the_way() {
    let scene = Scene::start().await;
    scene.join("durov").await;
    let number = scene.simulator.post(DUROV, photograph()).unwrap();
    let truth = scene.simulator.truth(DUROV).unwrap();
    let media = truth
        .posts
        .iter()
        .find(|post| post.id == number)
        .unwrap()
        .media
        .clone()
        .unwrap();
    let path = format!("/media/{DUROV}/{number}");
    for expire in [false, true] {
        if expire {
            scene.arm(Fault::FileReferences, Some("upload.getFile"), 1, 1);
        }
        let answer = scene.client.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["content-length"], LARGE.to_string());
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
        let disposition = answer.headers["content-disposition"].to_str().unwrap();
        assert_eq!(
            disposition,
            format!("attachment; filename=\"photo-{number}.jpg\"")
        );
        assert!(
            answer.body == media.bytes(0, LARGE as usize),
            "the same bytes"
        );
    }
    assert_eq!(scene.simulator.fired().get("file_references"), Some(&1));
}

#[tokio::test]
async fn documents_keep_their_name_and_posts_without_media_have_none() {
    let scene = Scene::start().await;
    scene.join("durov").await;
    let truth = scene.simulator.truth(DUROV).unwrap();
    let (document, name) = truth
        .posts
        .iter()
        .find_map(|post| match &post.media {
            Some(Media::Document { name, .. }) => Some((post, name.clone())),
            _ => None,
        })
        .unwrap();
    let answer = scene
        .client
        .get(&format!("/media/{DUROV}/{}", document.id))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let disposition = answer.headers["content-disposition"].to_str().unwrap();
    assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
    let bytes = document.media.as_ref().unwrap().bytes(0, usize::MAX);
    assert!(answer.body == bytes, "the same bytes");

    let plain = truth
        .posts
        .iter()
        .find(|post| post.media.is_none())
        .unwrap();
    for (path, problem) in [
        (
            format!("/media/{DUROV}/{}", plain.id),
            "404 telegram.unknown_media",
        ),
        (format!("/media/{DUROV}/1"), "404 telegram.unknown_media"),
        (
            format!("/media/{DUROV}/999999"),
            "404 telegram.unknown_media",
        ),
        ("/media/77/5".to_owned(), "404 telegram.channel_not_found"),
    ] {
        assert_eq!(scene.client.get(&path).await.problem(), problem, "{path}");
    }
}
