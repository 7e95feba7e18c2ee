use serde_json::Value;

use crate::support::Scene;

#[tokio::test]
async fn exports_are_listed_and_downloaded_as_attachments() {
    let scene = Scene::start().await;
    let data = scene.parsed("durov", 3).await;
    let body: Value = scene.client.get("/files").await.json();
    assert_eq!(body["message"], "Found 2 files");
    let files = body["data"]["files"].as_array().unwrap();
    for kind in ["json", "txt"] {
        let name = data["files"][kind].as_str().unwrap();
        let listed = files.iter().find(|file| file["filename"] == name).unwrap();
        let answer = scene.client.get(&format!("/files/{name}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(listed["size"], answer.body.len());
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            header("content-disposition"),
            format!("attachment; filename=\"{name}\"")
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-type"), "application/octet-stream");
    }
}

#[tokio::test]
async fn names_that_are_not_ours_lead_nowhere() {
    let scene = Scene::start().await;
    std::fs::write(scene.folder.path().join("telegram_posts_x.json"), "secret").unwrap();
    std::fs::write(scene.folder.path().join("exports/.part-x"), "half").unwrap();
    for name in [
        "..",
        ".",
        ".part-x",
        "%2e%2e%2ftelegram_posts_x.json",
        "..%2Ftelegram_posts_x.json",
        "telegram_posts_..%2fx.json",
        "%2Fetc%2Fpasswd",
        "telegram_posts_x.json%00",
        "telegram_posts_x%00.json",
        "telegram_posts_missing.json",
        "telegram_posts_%D1%8B.json",
        "..%5Ctelegram_posts_x.json",
        "C:%5Cx",
        "%252e%252e%252ftelegram_posts_x.json",
    ] {
        let answer = scene.client.get(&format!("/files/{name}")).await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.text());
        assert!(!answer.text().contains("secret"), "{name}");
    }
}
