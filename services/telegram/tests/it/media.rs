#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use touchstone_telegram_simulator::{Fault, Media, PostRequest};

use crate::support::{DUROV, Scene, two_data_centres};

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

/// Posts photographs until both data centres have one: the numbers of the posts at 2 and at 4.
fn photographs(scene: &Scene) -> [i32; 2] {
    let posted = [(); 2].map(|()| scene.simulator.post(DUROV, photograph()).unwrap());
    let at = |dc: i32| {
        posted.into_iter().find(|number| {
            let id = media_of(scene, *number).id();
            scene.simulator.read(|world| world.data_centre_of(id)) == dc
        })
    };
    [at(2).unwrap(), at(4).unwrap()]
}

fn media_of(scene: &Scene, number: i32) -> Media {
    let truth = scene.simulator.truth(DUROV).unwrap();
    let mut posts = truth.posts.into_iter();
    posts.find(|post| post.id == number).unwrap().media.unwrap()
}

async fn comes_whole(scene: &Scene, number: i32) {
    let answer = scene.client.get(&format!("/media/{DUROV}/{number}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bytes = media_of(scene, number).bytes(0, LARGE as usize);
    assert!(answer.body == bytes, "the same bytes");
}

#[tokio::test]
async fn media_of_another_data_centre_are_fetched_there_and_its_key_is_kept() {
    let scene = Scene::of(two_data_centres(), |_| {}).await;
    scene.join("durov").await;
    let numbers = photographs(&scene);
    for number in numbers {
        comes_whole(&scene, number).await;
    }
    assert_eq!(scene.calls_at(2, "upload.getFile"), ["ok"; 3]);
    let there = ["AUTH_KEY_UNREGISTERED", "ok", "ok", "ok"];
    assert_eq!(scene.calls_at(4, "upload.getFile"), there);
    assert_eq!(scene.calls_at(2, "auth.exportAuthorization"), ["ok"]);
    assert_eq!(scene.calls_at(4, "auth.importAuthorization"), ["ok"]);
    assert_eq!(scene.health().await["details"]["telegram_authorized"], true);

    // The next process finds the key in the store, where it is sealed, and is known there.
    let scene = scene.restart().await;
    comes_whole(&scene, numbers[1]).await;
    assert_eq!(scene.calls("auth.exportAuthorization").len(), 1);
    assert_eq!(scene.calls_at(4, "upload.getFile").len(), there.len() + 3);
}

#[tokio::test]
async fn a_file_that_moved_is_followed_but_not_in_circles() {
    let scene = Scene::of(two_data_centres(), |_| {}).await;
    scene.join("durov").await;
    let [home, _] = photographs(&scene);
    let moved = |dc: i32| Fault::Error {
        code: 303,
        message: format!("FILE_MIGRATE_{dc}"),
    };
    // Its post says data centre 2, which says 4, which says 2.
    scene.arm(moved(4), Some("upload.getFile"), 0, 1);
    comes_whole(&scene, home).await;
    let there = scene.calls_at(4, "upload.getFile");
    assert_eq!(there.last().unwrap(), "FILE_MIGRATE_2");
    assert_eq!(
        scene.calls_at(2, "upload.getFile"),
        ["FILE_MIGRATE_4", "ok", "ok", "ok"]
    );

    scene.arm(moved(2), Some("upload.getFile"), 0, 1_000);
    let answer = scene.client.get(&format!("/media/{DUROV}/{home}")).await;
    assert_eq!(answer.problem(), "503 telegram.refused");
    scene.simulator.disarm();
    scene.arm(moved(77), Some("upload.getFile"), 0, 1);
    let answer = scene.client.get(&format!("/media/{DUROV}/{home}")).await;
    assert_eq!(answer.problem(), "503 telegram.unreachable");
    comes_whole(&scene, home).await;
}

#[tokio::test]
async fn what_breaks_at_another_data_centre_leaves_the_account_alone() {
    let scene = Scene::of(two_data_centres(), |_| {}).await;
    scene.join("durov").await;
    let [_, away] = photographs(&scene);
    comes_whole(&scene, away).await;
    for fault in [
        Fault::Reset,
        Fault::WrongSession,
        Fault::SaltRotation,
        Fault::Transport { status: 429 },
        Fault::Flood { seconds: 1 },
    ] {
        scene.arm(fault.clone(), Some("upload.getFile"), 1, 1);
        comes_whole(&scene, away).await;
        assert_eq!(
            scene.simulator.fired().get(&fault.name()),
            Some(&1),
            "{fault:?}"
        );
    }
    for (code, message) in [(401, "SESSION_REVOKED"), (406, "AUTH_KEY_DUPLICATED")] {
        let refused = Fault::Error {
            code,
            message: message.into(),
        };
        scene.arm(refused, Some("upload.getFile"), 0, 2);
        let answer = scene.client.get(&format!("/media/{DUROV}/{away}")).await;
        assert_eq!(answer.problem(), "503 telegram.refused", "{message}");
        scene.simulator.disarm();
        let health = scene.health().await;
        assert_eq!(health["details"]["telegram_authorized"], true, "{health}");
    }
    comes_whole(&scene, away).await;
}

#[tokio::test]
async fn a_data_centre_that_agrees_on_no_key_is_told() {
    let scene = Scene::of(two_data_centres(), |_| {}).await;
    scene.join("durov").await;
    let [home, away] = photographs(&scene);
    // The client knows Telegram's RSA keys alone: without a kept key there is none to be had here.
    scene.tamper("DELETE FROM keys WHERE data_centre = 4").await;
    let scene = scene.restart().await;
    let answer = scene.client.get(&format!("/media/{DUROV}/{away}")).await;
    assert_eq!(answer.problem(), "503 telegram.refused");
    assert_eq!(scene.health().await["details"]["telegram_authorized"], true);
    comes_whole(&scene, home).await;
}
