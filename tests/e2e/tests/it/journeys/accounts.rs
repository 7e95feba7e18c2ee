use serde_json::json;

use crate::support::Client;
use crate::support::client::address;

pub async fn register_log_in_refresh_log_out(gateway: &str) {
    let client = Client::anonymous(gateway);
    let ada = address("ada");
    let account = json!({"email": ada, "password": "correct horse battery"});
    client.post("/auth/register", &account).await.ok();
    let again = client.post("/auth/register", &account).await;
    assert_eq!(again.status.as_u16(), 409, "{}", again.body);
    let tokens = client.post("/auth/login", &account).await.ok();
    let user = client.with_token(tokens["access_token"].as_str().unwrap());
    assert_eq!(user.get("/auth/me").await.ok()["email"], *ada);
    let refresh = |token: &serde_json::Value| json!({"refresh_token": token});
    let first = &tokens["refresh_token"];
    let second = client.post("/auth/refresh", &refresh(first)).await.ok();
    let third = client
        .post("/auth/refresh", &refresh(&second["refresh_token"]))
        .await
        .ok();
    // The grandparent is a replay: the family dies with it.
    assert_eq!(
        client
            .post("/auth/refresh", &refresh(first))
            .await
            .status
            .as_u16(),
        401
    );
    let descendant = client
        .post("/auth/refresh", &refresh(&third["refresh_token"]))
        .await;
    assert_eq!(descendant.status.as_u16(), 401, "{}", descendant.body);
    let tokens = client.post("/auth/login", &account).await.ok();
    let logout = refresh(&tokens["refresh_token"]);
    client
        .with_token(tokens["access_token"].as_str().unwrap())
        .post("/auth/logout", &logout)
        .await
        .ok();
    assert_eq!(
        client.post("/auth/refresh", &logout).await.status.as_u16(),
        401
    );
    let wrong = json!({"email": ada, "password": "wrong password"});
    let unknown = json!({"email": address("nobody"), "password": "wrong password"});
    let (wrong, unknown) = (
        client.post("/auth/login", &wrong).await,
        client.post("/auth/login", &unknown).await,
    );
    assert_eq!(
        (wrong.problem(), &wrong.body["detail"]),
        (unknown.problem(), &unknown.body["detail"])
    );
}

pub async fn api_keys_open_the_door_until_deleted(gateway: &str) {
    let user = Client::register(gateway, "keys").await;
    let created = user
        .post("/auth/api-keys", &json!({"name": "laptop"}))
        .await
        .ok();
    let key = user.with_token(created["key"].as_str().unwrap());
    assert_eq!(key.get("/auth/me").await.ok()["email"], *address("keys"));
    key.get("/documents").await.ok();
    let listed = user.get("/auth/api-keys").await.ok();
    assert!(
        !listed
            .to_string()
            .contains(created["key"].as_str().unwrap()),
        "{listed}"
    );
    user.delete(&format!(
        "/auth/api-keys/{}",
        created["id"].as_str().unwrap()
    ))
    .await
    .ok();
    // Other services believe a verdict for some seconds at most.
    for _ in 0..600 {
        if key.get("/documents").await.status.as_u16() == 401 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("a deleted key still works");
}

pub async fn forged_credentials_are_refused(gateway: &str) {
    let client = Client::anonymous(gateway);
    assert_eq!(client.get("/documents").await.status.as_u16(), 401);
    for token in [
        "test-load-token-1",
        "eyJ",
        "eyJhbGciOiJub25lIn0.e30.",
        "tsk_nothing",
    ] {
        let answer = client.with_token(token).get("/documents").await;
        assert_eq!(answer.status.as_u16(), 401, "{token}: {}", answer.body);
    }
}
