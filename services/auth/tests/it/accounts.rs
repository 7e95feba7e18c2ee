use bytesize::ByteSize;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use touchstone_auth::Config;
use touchstone_types::Role;

use crate::harness::{App, PASSWORD, body_of, config};

async fn register(app: &App, body: Value) -> String {
    let answer = app.anonymous().post("/auth/register", &body).await;
    if answer.status == 201 {
        "201".into()
    } else {
        answer.problem()
    }
}

#[tokio::test]
async fn registering_makes_a_tenant_with_its_administrator() {
    let app = App::new().await;
    let tokens = app.register("Ada@example.org").await;
    assert_eq!(
        (tokens.token_type.as_str(), tokens.expires_in),
        ("Bearer", 300)
    );
    let me: Value = app
        .client(&tokens.access_token)
        .get("/auth/me")
        .await
        .json();
    assert_eq!(me["email"], "Ada@example.org");
    assert_eq!(
        (&me["tenant_name"], &me["role"]),
        (&json!("Ada"), &json!("admin"))
    );
    let other: Value = {
        let body = json!({"email": "b@c", "password": PASSWORD, "tenant_name": "Acme"});
        let tokens: Value = app.anonymous().post("/auth/register", &body).await.json();
        app.client(tokens["access_token"].as_str().unwrap())
            .get("/auth/me")
            .await
            .json()
    };
    assert_eq!(other["tenant_name"], "Acme");
    assert_ne!(other["tenant_id"], me["tenant_id"]);
    app.stop().await;
}

#[tokio::test]
async fn an_address_is_taken_without_regard_to_case() {
    let app = App::new().await;
    app.register("ada@example.org").await;
    let again = json!({"email": "ADA@example.org", "password": PASSWORD});
    assert_eq!(register(&app, again).await, "409 auth.email_taken");
    assert_eq!(app.login("Ada@Example.Org", PASSWORD).await.status, 200);
    let all = (0..20).map(|_| {
        register(
            &app,
            json!({"email": "race@example.org", "password": PASSWORD}),
        )
    });
    let won = join_all(all)
        .await
        .into_iter()
        .filter(|status| status == "201")
        .count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_its_code() {
    let app = App::new().await;
    let with = |password: &str| json!({"email": "a@b", "password": password});
    for (body, expected) in [
        (with("1234567"), "422 auth.password_too_short"),
        (with(&"x".repeat(129)), "422 auth.password_too_long"),
        (with("Password123"), "422 auth.password_common"),
        (
            json!({"email": "ab", "password": PASSWORD}),
            "422 auth.invalid_email",
        ),
        (
            json!({"email": "a b@c", "password": PASSWORD}),
            "422 auth.invalid_email",
        ),
        (
            json!({"email": "a@b", "password": PASSWORD, "tenant_name": ""}),
            "422 auth.invalid_field",
        ),
        (json!({"email": "a@b"}), "422 request.invalid"),
        (
            json!({"email": "a@b", "password": 12_345_678}),
            "422 request.invalid",
        ),
    ] {
        assert_eq!(register(&app, body).await, expected);
    }
    assert_eq!(app.hashes("register"), 0);
    let post = async |path, kind, body: &'static str| {
        app.anonymous()
            .raw(Method::POST, path, kind, body)
            .await
            .problem()
    };
    assert_eq!(
        post("/auth/login", "application/json", "{").await,
        "400 request.malformed"
    );
    assert_eq!(
        post("/auth/login", "text/plain", "{}").await,
        "415 request.unsupported_media_type"
    );
    assert_eq!(
        app.login("", PASSWORD).await.problem(),
        "422 auth.invalid_field"
    );
    assert_eq!(
        app.login("a@b", "").await.problem(),
        "422 auth.invalid_field"
    );
    assert_eq!(app.refresh("").await.problem(), "422 auth.invalid_field");
}

#[tokio::test]
async fn nobody_chooses_tenant_or_role_in_the_body() {
    let app = App::new().await;
    for (field, value) in [
        ("tenant_id", "x"),
        ("role", "admin"),
        ("owner", "x"),
        ("id", "x"),
    ] {
        let mut body = json!({"email": "a@b", "password": PASSWORD});
        body[field] = json!(value);
        assert_eq!(register(&app, body).await, "422 request.invalid", "{field}");
    }
}

#[tokio::test]
async fn an_unknown_user_gets_the_answer_of_a_wrong_password_at_the_same_cost() {
    let app = App::new().await;
    app.register("ada@example.org").await;
    let wrong = app.login("ada@example.org", "wrong password").await;
    assert_eq!((app.hashes("login"), app.hashes("decoy")), (1, 0));
    let unknown = app.login("eve@example.org", "wrong password").await;
    assert_eq!((app.hashes("login"), app.hashes("decoy")), (1, 1));
    assert_eq!(wrong.problem(), "401 auth.invalid_credentials");
    assert_eq!(wrong.status, unknown.status);
    assert_eq!(body_of(&wrong), body_of(&unknown));
    let names = |answer: &touchstone_testing::Answer| {
        answer
            .headers
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&wrong), names(&unknown));
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_refused_before_it_is_hashed() {
    let app = App::new().await;
    app.register("ada@example.org").await;
    let before = app.hashes("login") + app.hashes("register");
    let huge = "x".repeat(1 << 20);
    assert_eq!(
        app.login("ada@example.org", &huge).await.problem(),
        "413 request.too_large"
    );
    let body = json!({"email": "b@example.org", "password": huge});
    assert_eq!(register(&app, body).await, "413 request.too_large");
    let long = app.login("ada@example.org", &"x".repeat(129)).await;
    assert_eq!(long.problem(), "422 auth.password_too_long");
    assert_eq!(
        app.hashes("login") + app.hashes("register") + app.hashes("decoy"),
        before
    );
}

#[tokio::test]
async fn a_flood_of_logins_is_shed_and_memory_stays_bounded() {
    let mut config = config();
    config.argon2.memory = ByteSize::mib(19);
    config.argon2.iterations = 2;
    config.argon2.slots = 1;
    config.argon2.queue = 2;
    let app = App::with(config).await;
    let all = (0..60).map(|number| {
        let (email, app) = (format!("user{number}@example.org"), &app);
        async move { app.login(&email, "wrong password").await }
    });
    let answers = join_all(all).await;
    let (mut refused, mut busy) = (0, 0);
    for answer in &answers {
        match answer.problem().as_str() {
            "401 auth.invalid_credentials" => refused += 1,
            "503 auth.busy" => {
                assert_eq!(answer.headers["retry-after"], "1");
                busy += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 3 && busy > 0, "{refused} {busy}");
    assert_eq!(
        app.metric("touchstone_auth_password_hashes_running_peak"),
        1
    );
    assert_eq!(app.hashes("decoy"), refused);
    assert_eq!(
        app.metric("touchstone_auth_password_hashes_refused_total"),
        busy
    );
}

#[tokio::test]
async fn changing_the_password_ends_every_login() {
    let app = App::new().await;
    let phone = app.register("ada@example.org").await;
    let laptop: Value = app.login("ada@example.org", PASSWORD).await.json();
    let laptop = laptop["refresh_token"].as_str().unwrap();
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let client = app.client(&phone.access_token);
    let new = "another horse 8";
    for (body, expected) in [
        (change("wrong password", new), "403 auth.wrong_password"),
        (change(PASSWORD, "short"), "422 auth.password_too_short"),
        (
            change(PASSWORD, "ada@example.org"),
            "422 auth.password_common",
        ),
    ] {
        assert_eq!(
            client.post("/auth/password", &body).await.problem(),
            expected
        );
    }
    let anonymous = app
        .anonymous()
        .post("/auth/password", &change(PASSWORD, new))
        .await;
    assert_eq!(anonymous.problem(), "401 auth.missing_credential");
    assert_eq!(app.refresh(laptop).await.status, 200);

    let answer = client.post("/auth/password", &change(PASSWORD, new)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let fresh: Value = answer.json();
    for dead in [&phone.refresh_token, laptop] {
        assert_eq!(
            app.refresh(dead).await.problem(),
            "401 auth.invalid_refresh_token"
        );
    }
    assert!(!app.is_valid(&phone.access_token).await);
    assert!(app.is_valid(fresh["access_token"].as_str().unwrap()).await);
    assert_eq!(
        app.refresh(fresh["refresh_token"].as_str().unwrap())
            .await
            .status,
        200
    );
    assert_eq!(app.login("ada@example.org", PASSWORD).await.status, 401);
    assert_eq!(app.login("ada@example.org", new).await.status, 200);
}

#[tokio::test]
async fn a_login_rehashes_when_the_parameters_rose() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/auth.db", directory.path().display());
    let weak = App::with(Config {
        store: store.clone().into(),
        ..config()
    })
    .await;
    weak.register("ada@example.org").await;
    weak.stop().await;
    let mut stronger = Config {
        store: store.into(),
        ..config()
    };
    stronger.argon2.memory = ByteSize::kib(128);
    let app = App::with(stronger).await;
    assert_eq!(
        app.login("ada@example.org", "wrong password").await.status,
        401
    );
    assert_eq!(app.hashes("rehash"), 0);
    assert_eq!(app.login("ada@example.org", PASSWORD).await.status, 200);
    assert_eq!(app.hashes("rehash"), 1);
    assert_eq!(app.login("ada@example.org", PASSWORD).await.status, 200);
    assert_eq!(app.hashes("rehash"), 1);
    app.stop().await;
}

#[tokio::test]
async fn administrators_add_members_and_members_do_not() {
    let app = App::new().await;
    let admin = app.register("ada@example.org").await;
    let context = touchstone_identity::RequestContext::background("test");
    let caller = app
        .verifier
        .verify(&admin.access_token, context.clone())
        .await
        .unwrap();
    app.auth
        .add_user(&caller, "bob@example.org", PASSWORD.into(), Role::Member)
        .await
        .unwrap();
    let bob: Value = app.login("bob@example.org", PASSWORD).await.json();
    let bob = bob["access_token"].as_str().unwrap();
    let me: Value = app.client(bob).get("/auth/me").await.json();
    assert_eq!(
        (&me["role"], &me["tenant_name"]),
        (&json!("member"), &json!("ada"))
    );
    let bob = app.verifier.verify(bob, context).await.unwrap();
    assert_eq!(bob.tenant, caller.tenant);
    let refused = app
        .auth
        .add_user(&bob, "c@d", PASSWORD.into(), Role::Admin)
        .await;
    assert!(matches!(
        refused,
        Err(touchstone_auth::Error::AdminRequired)
    ));
}

#[tokio::test]
async fn the_specification_names_every_path_and_health_tells_the_store() {
    let app = App::new().await;
    let api: Value = app.anonymous().get("/openapi.json").await.json();
    for path in [
        "/auth/register",
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
        "/auth/validate",
        "/auth/password",
        "/auth/me",
        "/auth/api-keys",
        "/auth/api-keys/{id}",
        "/auth/seed-demo",
        "/.well-known/jwks.json",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    let health: Value = app.anonymous().get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["details"]["store_connected"]),
        (&json!("healthy"), &json!(true))
    );
    assert_eq!(app.anonymous().get("/ready").await.status, 200);
}
