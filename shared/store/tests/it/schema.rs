use futures_util::future::join_all;
use touchstone_store::Error;
use touchstone_store::postgres::{Options, check, state};

use super::{MIGRATOR, SCHEMA, count, database_of, execute, open};

#[tokio::test]
async fn processes_that_start_at_once_migrate_once() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let options = Options::default();
    let before = state(&url, SCHEMA, &MIGRATOR, &options).await.unwrap();
    assert_eq!(
        (before.applied, before.pending.len()),
        (0, MIGRATOR.iter().count())
    );
    let opened = join_all((0..4).map(|_| open(&url, &options))).await;
    for database in opened {
        assert_eq!(count(&database.unwrap()).await.unwrap(), 0);
    }
    let after = state(&url, SCHEMA, &MIGRATOR, &options).await.unwrap();
    assert_eq!(
        (after.applied, after.pending.len()),
        (MIGRATOR.iter().count(), 0)
    );
}

#[tokio::test]
async fn an_older_schema_is_told_precisely_and_left_alone() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let options = Options {
        migrate: false,
        ..Options::default()
    };
    let error = open(&url, &options).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Schema { .. }), "{error:?}");
    assert!(
        text.contains("`notes` is older") && text.contains("20261121000000"),
        "{text}"
    );
    let state = state(&url, SCHEMA, &MIGRATOR, &options).await.unwrap();
    assert_eq!(state.applied, 0);
    open(&url, &Options::default()).await.unwrap();
    open(&url, &options).await.unwrap();
}

#[tokio::test]
async fn a_newer_or_edited_schema_is_refused() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    open(&url, &Options::default()).await.unwrap();
    execute(
        &url,
        "INSERT INTO notes._sqlx_migrations VALUES (20990101000000, 'later', now(), true, '', 0)",
    )
    .await;
    let newer = open(&url, &Options::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        newer.contains("newer") && newer.contains("20990101000000"),
        "{newer}"
    );
    execute(
        &url,
        "DELETE FROM notes._sqlx_migrations WHERE version = 20990101000000;
         UPDATE notes._sqlx_migrations SET checksum = 'x'",
    )
    .await;
    let edited = open(&url, &Options::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(edited.contains("another text"), "{edited}");
}

#[tokio::test]
async fn services_of_one_database_are_apart() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let (one, other) = (open(&url, &Options::default()).await.unwrap(), {
        let options = Options::default();
        super::Database::open(&url, "others", &MIGRATOR, &options)
            .await
            .unwrap()
    });
    super::insert(&one, "only here", 0, None).await.unwrap();
    assert_eq!(
        (count(&one).await.unwrap(), count(&other).await.unwrap()),
        (1, 0)
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_told_without_the_password() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    check(&url).await.unwrap();
    let name = database_of(&url);
    let (front, host) = url.split_once('@').unwrap();
    let user = front.rsplit('/').next().unwrap().split(':').next().unwrap();
    let cases = [
        (
            format!("postgres://{user}:hunter2@{host}"),
            "refuses the password of",
        ),
        (
            format!("postgres://nobody:hunter2@{host}"),
            "refuses the password of `nobody`",
        ),
        (url.replace(name, "missing"), "has no database `missing`"),
        (format!("{url}?sslmode=require"), "does not offer it"),
    ];
    for (wrong, expected) in cases {
        let mistake = check(&wrong).await.unwrap_err();
        let text = format!("{mistake} {mistake:?}");
        assert!(text.contains(expected), "{text}");
        assert!(
            !text.contains("hunter2") && !mistake.is_transient(),
            "{text}"
        );
        let error = open(&wrong, &Options::default()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the database {mistake}"));
    }
}
