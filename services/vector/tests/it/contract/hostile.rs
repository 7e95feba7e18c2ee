//! What callers write and when they come.

use std::sync::atomic::{AtomicBool, Ordering};

use touchstone_api::vector::Filter;
use touchstone_vector::Error;
use touchstone_vector::store::{Page, VectorStore};

use super::ready;
use crate::fixtures::*;

pub(super) async fn any_text_may_be_a_language_or_a_fact(store: &dyn VectorStore) {
    ready(store).await;
    let texts = [
        "' OR '1'='1",
        "\" OR tenant_id IS NOT NULL -- \\",
        "{\"must_not\": [{\"key\": \"tenant_id\"}], \"should\": []}",
        "%' ESCAPE '_' $1 ${1} :1 ? {0}",
        "\u{0}\u{1b}[2J\r\nX-Injected: 1",
        "\u{202e}ﷺ\u{ffff}💥",
        "",
    ];
    let named = |number: usize, text: &str| {
        let mut point = point(number as u128, &[(1, 1.0)]);
        text.clone_into(&mut point.payload.language);
        point.payload.metadata = [(text.to_owned(), text.to_owned())].into();
        point
    };
    let points = texts.iter().enumerate();
    let points = points.map(|(number, text)| named(number, text)).collect();
    store.upsert(&part(1), points).await.unwrap();
    for (number, text) in texts.into_iter().enumerate() {
        let filter = Filter {
            languages: Some(vec![text.to_owned()]),
            metadata: [(text.to_owned(), text.to_owned())].into(),
            ..Filter::default()
        };
        let scoped = narrowed(1, filter);
        assert_eq!(store.count(&scoped).await.unwrap(), 1, "{text:?}");
        let wanted = search(vec![by_bm25(&[(1, 1.0)])], 100);
        let hits = store
            .query(&scoped, wanted)
            .await
            .unwrap()
            .results
            .remove(0);
        let hits: Vec<_> = hits.into_iter().map(|hit| hit.id).collect();
        assert_eq!(hits, [chunk(number as u128)], "{text:?}");
    }
}

/// Whoever comes while a collection is made does not know it yet, or can do everything with it.
pub(super) async fn a_collection_can_be_used_as_soon_as_it_is_found(store: &dyn VectorStore) {
    let made = AtomicBool::new(false);
    let making = async {
        ready(store).await;
        made.store(true, Ordering::SeqCst);
    };
    let using = async || {
        loop {
            let last = made.load(Ordering::SeqCst);
            let page = Page {
                after: None,
                limit: 10,
                with_vectors: false,
            };
            let listed = store.scroll(&all(1), page).await.map(drop);
            let wanted = search(vec![by_bm25(&[(1, 1.0)])], 10);
            let found = store.query(&all(1), wanted).await.map(drop);
            for done in [listed, found] {
                assert!(
                    matches!(done, Ok(()) | Err(Error::UnknownCollection(_))),
                    "{done:?}"
                );
                assert!(!last || done.is_ok(), "it was made: {done:?}");
            }
            if last {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(making, using(), using());
}
