//! What every backend must do. One suite, run on all of them.

use std::time::Duration;

use touchstone_api::vector::{Filter, QueryVector};
use touchstone_error::{Classify, ErrorKind};
use touchstone_types::{Source, SparseVector};
use touchstone_vector::domain::{CollectionName, Definition, Dense};
use touchstone_vector::store::{Page, VectorStore};

use crate::fixtures::*;

mod hostile;

use hostile::{
    a_collection_can_be_used_as_soon_as_it_is_found, any_text_may_be_a_language_or_a_fact,
};

macro_rules! contract_suite {
    ($backend:ident: $($rule:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $rule() {
                    let Some(opened) = crate::fixtures::$backend().await else {
                        return;
                    };
                    super::$rule(&*opened.store).await;
                    opened.tidy_up().await;
                    assert!(opened.life.shutdown(std::time::Duration::from_mins(1)).await.is_clean());
                }
            )+
        }
    };
    ($($backend:ident),+ => $rules:tt) => { $(contract_suite!(@ $backend $rules);)+ };
    (@ $backend:ident [$($rule:ident),+ $(,)?]) => { contract_suite!($backend: $($rule),+); };
}

contract_suite!(sqlite_file, sqlite_memory, qdrant => [
    a_collection_is_created_confirmed_and_removed,
    an_upsert_is_visible_at_once_and_overwrites_by_id,
    payloads_are_those_that_were_written_last,
    a_refused_batch_leaves_nothing,
    sparse_scores_use_the_tenants_own_frequencies,
    dense_scores_are_cosines,
    ties_are_broken_by_id_and_depth_never_changes_the_order,
    complete_scores_tell_every_returned_point_on_every_signal,
    every_filter_narrows_and_an_empty_list_matches_nothing,
    any_text_may_be_a_language_or_a_fact,
    scroll_walks_all_points_by_id_and_gives_back_what_was_written,
    deletion_removes_what_the_filter_names_and_nothing_else,
    tenants_share_ids_and_nothing_else,
    an_unknown_collection_is_not_found,
    a_collection_can_be_used_as_soon_as_it_is_found,
]);

async fn ready(store: &dyn VectorStore) {
    store.ensure(&chunks(), definition()).await.unwrap();
}

async fn a_collection_is_created_confirmed_and_removed(store: &dyn VectorStore) {
    let lexical = Definition {
        dense: None,
        ..definition()
    };
    assert_eq!(
        store.ensure(&chunks(), lexical.clone()).await.unwrap(),
        lexical
    );
    assert_eq!(
        store.ensure(&chunks(), definition()).await.unwrap(),
        definition()
    );
    assert_eq!(
        store.ensure(&chunks(), lexical).await.unwrap(),
        definition()
    );
    let dense = Some(Dense {
        model: "minilm".to_owned(),
        dimension: DIMENSION,
    });
    let error = store
        .ensure(
            &chunks(),
            Definition {
                dense,
                ..definition()
            },
        )
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Conflict, "vector.model_mismatch")
    );
    assert!(error.detail().contains("touchstone reindex"));

    store
        .upsert(&part(1), vec![point(1, &[(1, 1.0)])])
        .await
        .unwrap();
    assert_eq!(
        store.definitions().await.unwrap(),
        [(chunks(), definition())]
    );
    assert!(store.remove(&chunks()).await.unwrap());
    assert!(!store.remove(&chunks()).await.unwrap());
    assert_eq!(store.definition(&chunks()).await.unwrap(), None);
    ready(store).await;
    assert_eq!(store.count(&all(1)).await.unwrap(), 0);
}

async fn an_upsert_is_visible_at_once_and_overwrites_by_id(store: &dyn VectorStore) {
    ready(store).await;
    let first = vec![point(1, &[(7, 1.0)]), point(2, &[(7, 2.0)])];
    assert_eq!(store.upsert(&part(1), first).await.unwrap(), 2);
    assert_eq!(
        store
            .upsert(&part(1), vec![point(1, &[(8, 5.0)])])
            .await
            .unwrap(),
        1
    );
    assert_eq!(store.count(&all(1)).await.unwrap(), 2);
    let wanted = search(vec![by_bm25(&[(7, 1.0)]), by_bm25(&[(8, 1.0)])], 10);
    let found = store.query(&all(1), wanted).await.unwrap().results;
    let ids = |list: usize| found[list].iter().map(|hit| hit.id).collect::<Vec<_>>();
    assert_eq!((ids(0), ids(1)), (vec![chunk(2)], vec![chunk(1)]));
}

async fn payloads_are_those_that_were_written_last(store: &dyn VectorStore) {
    ready(store).await;
    let with = |text: &str| {
        let mut first = point(1, &[(7, 1.0)]);
        text.clone_into(&mut first.payload.text);
        vec![first, point(9, &[(7, 2.0)])]
    };
    let text_now = async || {
        let mut text = None;
        // Twice, so that whoever keeps payloads gives them from there.
        for _ in 0..2 {
            let mut wanted = search(vec![by_bm25(&[(7, 1.0)])], 10);
            wanted.with_payload = true;
            let mut found = store.query(&all(1), wanted).await.unwrap().payloads;
            text = found.remove(&chunk(1)).map(|payload| payload.text);
        }
        text
    };
    for text in ["first", "second"] {
        store.upsert(&part(1), with(text)).await.unwrap();
        assert_eq!(text_now().await.as_deref(), Some(text));
    }
    let scoped = narrowed(1, of_documents(&[0]));
    assert_eq!(store.delete(&scoped).await.unwrap(), 1);
    assert_eq!(text_now().await, None);
    // A collection that is made anew has nothing of the old one.
    store.upsert(&part(1), with("third")).await.unwrap();
    assert_eq!(text_now().await.as_deref(), Some("third"));
    assert!(store.remove(&chunks()).await.unwrap());
    ready(store).await;
    assert_eq!(text_now().await, None);
}

async fn a_refused_batch_leaves_nothing(store: &dyn VectorStore) {
    ready(store).await;
    let with = |edit: &dyn Fn(&mut touchstone_api::vector::Point)| {
        let mut bad = point(2, &[(1, 1.0)]);
        edit(&mut bad);
        vec![point(1, &[(1, 1.0)]), bad]
    };
    let put = |point: &mut touchstone_api::vector::Point, name: &str, vector| {
        point.sparse.insert(name.to_owned(), vector);
    };
    let raw = |indices: Vec<u32>, values: Vec<f32>| SparseVector { indices, values };
    let cases = [
        (with(&|p| p.id = chunk(1)), "vector.duplicate_point"),
        (
            with(&|p| p.dense = Some(vec![1.0])),
            "vector.dimension_mismatch",
        ),
        (with(&|p| p.dense = Some(vec![0.0; 3])), "vector.bad_vector"),
        (
            with(&|p| p.dense = Some(vec![f32::NAN, 0.0, 1.0])),
            "vector.bad_vector",
        ),
        (
            with(&|p| p.dense = Some(vec![f32::INFINITY, 0.0, 1.0])),
            "vector.bad_vector",
        ),
        (with(&|p| put(p, "x", sparse(&[]))), "vector.unknown_sparse"),
        (
            with(&|p| put(p, "bm25", raw(vec![1, 1], vec![1.0, 1.0]))),
            "vector.bad_vector",
        ),
        (
            with(&|p| put(p, "bm25", raw(vec![1], vec![f32::NAN]))),
            "vector.bad_vector",
        ),
        (with(&|p| p.payload.end = 5), "request.invalid"),
        (with(&|p| p.payload.end = usize::MAX), "request.invalid"),
    ];
    for (points, code) in cases {
        let error = store.upsert(&part(1), points).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unprocessable, code)
        );
        assert_eq!(store.count(&all(1)).await.unwrap(), 0, "{code}");
    }
    let lexical = CollectionName::parse("lexical").unwrap();
    store
        .ensure(
            &lexical,
            Definition {
                dense: None,
                ..definition()
            },
        )
        .await
        .unwrap();
    let scope = touchstone_vector::domain::TenantScope::new(tenant(1), lexical);
    let error = store
        .upsert(&scope, with(&|p| p.dense = Some(vec![1.0; 3])))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "vector.no_dense");
}

async fn sparse_scores_use_the_tenants_own_frequencies(store: &dyn VectorStore) {
    ready(store).await;
    let points = vec![
        point(1, &[(5, 2.0), (6, 1.0)]),
        point(2, &[(5, 1.0)]),
        point(3, &[(6, -1.0)]),
    ];
    store.upsert(&part(1), points).await.unwrap();
    // Another tenant has the term everywhere, which must not change the first one's IDF.
    let crowd = (1..100).map(|number| point(number, &[(5, 9.0)])).collect();
    store.upsert(&part(2), crowd).await.unwrap();

    let wanted = search(vec![by_bm25(&[(5, 0.5), (6, 1.0), (99, 1.0)])], 10);
    let hits = &store.query(&all(1), wanted).await.unwrap().results[0];
    let idf = |n: f32| ((3.0 - n + 0.5) / (n + 0.5) + 1.0).ln();
    let expected = [
        (chunk(1), 0.5 * 2.0 * idf(2.0) + idf(2.0)),
        (chunk(2), 0.5 * idf(2.0)),
    ];
    assert_eq!(hits.len(), 2, "a score below zero is no hit: {hits:?}");
    for (hit, (id, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.id, id);
        assert!((hit.score - score).abs() < 1e-5, "{hit:?} {score}");
    }
}

async fn dense_scores_are_cosines(store: &dyn VectorStore) {
    ready(store).await;
    let with = |number, vector: [f32; 3]| {
        let mut point = point(number, &[]);
        point.dense = Some(vector.to_vec());
        point
    };
    let points = vec![
        with(1, [2.0, 0.0, 0.0]),
        with(2, [1.0, 1.0, 0.0]),
        with(3, [-1.0, 0.0, 0.0]),
        point(4, &[(1, 1.0)]),
    ];
    store.upsert(&part(1), points).await.unwrap();
    let wanted = search(vec![QueryVector::Dense(vec![3.0, 0.0, 0.0])], 10);
    let hits = &store.query(&all(1), wanted).await.unwrap().results[0];
    let expected = [
        (chunk(1), 1.0),
        (chunk(2), 0.5_f32.sqrt()),
        (chunk(3), -1.0),
    ];
    assert_eq!(
        hits.len(),
        3,
        "a point without a dense vector is not found: {hits:?}"
    );
    for (hit, (id, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.id, id);
        assert!((hit.score - score).abs() < 1e-5, "{hit:?} {score}");
    }
    for (vector, code) in [
        (vec![1.0], "vector.dimension_mismatch"),
        (vec![0.0; 3], "vector.bad_vector"),
        (vec![f32::NAN; 3], "vector.bad_vector"),
    ] {
        let refused = store
            .query(&all(1), search(vec![QueryVector::Dense(vector)], 1))
            .await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
}

async fn ties_are_broken_by_id_and_depth_never_changes_the_order(store: &dyn VectorStore) {
    ready(store).await;
    for number in (0..60_u128).rev() {
        let weight = (number % 3) as f32 + 1.0;
        store
            .upsert(&part(1), vec![point(number, &[(1, weight)])])
            .await
            .unwrap();
    }
    let top = async |limit| {
        let wanted = search(vec![by_bm25(&[(1, 1.0)])], limit);
        store
            .query(&all(1), wanted)
            .await
            .unwrap()
            .results
            .remove(0)
    };
    let everything = top(1000).await;
    assert_eq!(everything.len(), 60);
    assert!(everything.is_sorted_by(|a, b| (b.score, a.id) < (a.score, b.id) || a.score > b.score));
    for limit in [1, 2, 19, 20, 21, 59] {
        assert_eq!(top(limit).await, everything[..limit], "{limit}");
    }
}

async fn complete_scores_tell_every_returned_point_on_every_signal(store: &dyn VectorStore) {
    ready(store).await;
    let mut points: Vec<_> = (1..=6).map(|n| point(n, &[(1, n as f32)])).collect();
    for (number, point) in points.iter_mut().enumerate() {
        let weight = 10.0 - number as f32;
        point
            .sparse
            .insert("chars".to_owned(), sparse(&[(1, weight)]));
    }
    points[0].dense = Some(vec![1.0, 0.0, 0.0]);
    store.upsert(&part(1), points).await.unwrap();
    let queries = vec![
        by_bm25(&[(1, 1.0)]),
        by_chars(&[(1, 1.0)]),
        QueryVector::Dense(vec![1.0, 0.0, 0.0]),
    ];
    let mut wanted = search(queries, 2);
    wanted.complete_scores = true;
    wanted.with_payload = true;
    let answer = store.query(&all(1), wanted).await.unwrap();
    let ids = |list: usize| {
        answer.results[list]
            .iter()
            .map(|hit| hit.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(0), [6, 5, 2, 1].map(chunk));
    assert_eq!(ids(1), [1, 2, 5, 6].map(chunk));
    assert_eq!(ids(2), [1, 2, 5, 6].map(chunk));
    assert_eq!(answer.results[2][1].score.to_bits(), 0.0_f32.to_bits());
    assert_eq!(
        answer.payloads.keys().copied().collect::<Vec<_>>(),
        [1, 2, 5, 6].map(chunk)
    );
    assert_eq!(answer.payloads[&chunk(5)], point(5, &[]).payload);
}

#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_filter_narrows_and_an_empty_list_matches_nothing(store: &dyn VectorStore) {
    ready(store).await;
    let mut points: Vec<_> = (0..12).map(|number| point(number, &[(1, 1.0)])).collect();
    let noon = points[0].payload.created_at;
    for (number, point) in points.iter_mut().enumerate() {
        point.payload.version = 1 + number as u32 % 3;
        point.payload.created_at = noon + Duration::from_secs(number as u64);
    }
    points[5].payload.source = Source::Telegram;
    store.upsert(&part(1), points).await.unwrap();

    let none = Filter::default;
    let cases: Vec<(Filter, &[u128])> = vec![
        (of_documents(&[0, 2]), &[0, 1, 2, 3, 8, 9, 10, 11]),
        (
            Filter {
                version: Some(2),
                ..none()
            },
            &[1, 4, 7, 10],
        ),
        (
            Filter {
                version_below: Some(2),
                ..none()
            },
            &[0, 3, 6, 9],
        ),
        (
            Filter {
                languages: Some(vec!["ru".into()]),
                ..none()
            },
            &[1, 3, 5, 7, 9, 11],
        ),
        (
            Filter {
                sources: Some(vec![Source::Telegram, Source::Demo]),
                ..none()
            },
            &[5],
        ),
        (
            Filter {
                created_after: Some(noon + Duration::from_secs(10)),
                ..none()
            },
            &[10, 11],
        ),
        (
            Filter {
                created_before: Some(noon + Duration::from_secs(1)),
                ..none()
            },
            &[0],
        ),
        (
            Filter {
                metadata: [("parity".into(), "1".into())].into(),
                ..of_documents(&[1])
            },
            &[5, 7],
        ),
        (
            Filter {
                metadata: [("absent".into(), "1".into())].into(),
                ..none()
            },
            &[],
        ),
        (of_documents(&[]), &[]),
        (
            Filter {
                languages: Some(vec![]),
                ..none()
            },
            &[],
        ),
        (
            Filter {
                sources: Some(vec![]),
                ..none()
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|number| chunk(*number)).collect();
        let scoped = narrowed(1, filter);
        assert_eq!(
            store.count(&scoped).await.unwrap(),
            expected.len() as u64,
            "{scoped:?}"
        );
        let wanted = search(vec![by_bm25(&[(1, 1.0)])], 100);
        let hits = store
            .query(&scoped, wanted)
            .await
            .unwrap()
            .results
            .remove(0);
        assert_eq!(
            hits.iter().map(|hit| hit.id).collect::<Vec<_>>(),
            expected,
            "{scoped:?}"
        );
        let page = Page {
            after: None,
            limit: 100,
            with_vectors: false,
        };
        let listed = store.scroll(&scoped, page).await.unwrap().points;
        assert_eq!(
            listed.iter().map(|point| point.id).collect::<Vec<_>>(),
            expected
        );
    }
}

async fn scroll_walks_all_points_by_id_and_gives_back_what_was_written(store: &dyn VectorStore) {
    ready(store).await;
    let mut points: Vec<_> = (0..25)
        .map(|number| point(number, &[(number as u32, 1.5), (u32::MAX, -2.0)]))
        .collect();
    points[3].dense = Some(vec![3.0, 4.0, 0.0]);
    for group in points.chunks(4).rev() {
        store.upsert(&part(1), group.to_vec()).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = Page {
            after,
            limit: 7,
            with_vectors: true,
        };
        let answer = store.scroll(&all(1), page).await.unwrap();
        seen.extend(answer.points);
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, points);
}

async fn deletion_removes_what_the_filter_names_and_nothing_else(store: &dyn VectorStore) {
    ready(store).await;
    let points: Vec<_> = (0..40)
        .map(|number| point(number, &[(1, 1.0), (2, 1.0)]))
        .collect();
    store.upsert(&part(1), points.clone()).await.unwrap();
    store.upsert(&part(2), points).await.unwrap();
    let scoped = narrowed(1, of_documents(&[0, 1, 99]));
    assert_eq!(store.delete(&scoped).await.unwrap(), 8);
    assert_eq!(store.delete(&scoped).await.unwrap(), 0);
    assert_eq!(store.count(&all(1)).await.unwrap(), 32);
    assert_eq!(store.count(&all(2)).await.unwrap(), 40);
    let wanted = || search(vec![by_bm25(&[(1, 1.0)])], 100);
    let hits = store
        .query(&all(1), wanted())
        .await
        .unwrap()
        .results
        .remove(0);
    assert!(hits.iter().all(|hit| hit.id >= chunk(8)), "{hits:?}");
    let idf = (0.5_f32 / 32.5).ln_1p();
    assert!((hits[0].score - idf).abs() < 1e-6, "the dead count no more");

    let old = Filter {
        version_below: Some(2),
        ..of_documents(&[2])
    };
    assert_eq!(store.delete(&narrowed(1, old)).await.unwrap(), 4);
    let rest = of_documents(&(0..10).collect::<Vec<_>>());
    assert_eq!(store.delete(&narrowed(1, rest)).await.unwrap(), 28);
    assert_eq!(store.query(&all(1), wanted()).await.unwrap().results, [[]]);
}

async fn tenants_share_ids_and_nothing_else(store: &dyn VectorStore) {
    ready(store).await;
    store
        .upsert(&part(1), vec![point(1, &[(1, 1.0)])])
        .await
        .unwrap();
    let mut theirs = point(1, &[(2, 1.0)]);
    theirs.payload.text.replace_range(.., "theirs");
    store.upsert(&part(2), vec![theirs.clone()]).await.unwrap();

    let page = Page {
        after: None,
        limit: 10,
        with_vectors: true,
    };
    assert_eq!(
        store.scroll(&all(1), page).await.unwrap().points,
        [point(1, &[(1, 1.0)])]
    );
    assert_eq!(store.scroll(&all(2), page).await.unwrap().points, [theirs]);
    let mut wanted = search(vec![by_bm25(&[(2, 1.0)])], 10);
    wanted.with_payload = true;
    let answer = store.query(&all(1), wanted).await.unwrap();
    assert!(answer.results[0].is_empty() && answer.payloads.is_empty());
    assert_eq!(
        store
            .delete(&narrowed(2, of_documents(&[0])))
            .await
            .unwrap(),
        1
    );
    assert_eq!(store.count(&all(1)).await.unwrap(), 1);
    assert_eq!(store.count(&all(3)).await.unwrap(), 0);
}

async fn an_unknown_collection_is_not_found(store: &dyn VectorStore) {
    let page = Page {
        after: None,
        limit: 10,
        with_vectors: false,
    };
    let errors = [
        store
            .upsert(&part(1), vec![point(1, &[])])
            .await
            .unwrap_err(),
        store
            .query(&all(1), search(vec![by_bm25(&[])], 1))
            .await
            .unwrap_err(),
        store.count(&all(1)).await.unwrap_err(),
        store.scroll(&all(1), page).await.unwrap_err(),
        store.delete(&all(1)).await.unwrap_err(),
    ];
    for error in errors {
        let told = (error.kind(), error.code());
        assert_eq!(told, (ErrorKind::NotFound, "vector.unknown_collection"));
    }
}
