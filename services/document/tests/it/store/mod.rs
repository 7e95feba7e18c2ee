//! What a test does to the store behind the service's back.

use touchstone_document::store::sqlite::SqliteStore;

/// Lets the database grow by `more` pages and no further: a disk that is nearly full.
pub async fn allow_pages(store: &SqliteStore, more: i64) {
    let mut writer = store.database().begin().await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *writer)
        .await
        .unwrap();
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + more));
    sqlx::query(limit).execute(&mut *writer).await.unwrap();
    writer.commit().await.unwrap();
}

/// Turns a bit of every original over.
pub async fn flip_a_bit(uri: &str) {
    let store = SqliteStore::open(uri).await.unwrap();
    let mut writer = store.database().begin().await.unwrap();
    let flipped = "UPDATE originals SET body = CAST('R' || substr(body, 2) AS BLOB)";
    let done = sqlx::query(flipped).execute(&mut *writer).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    writer.commit().await.unwrap();
}
