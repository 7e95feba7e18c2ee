//! Random histories against the oracle: the same answers to the last bit, before and after restarts.

use std::time::Duration;

use proptest::prelude::*;
use touchstone_api::vector::{Filter, Point, QueryVector};
use touchstone_types::{Clock, FrozenClock, Source};
use touchstone_vector::store::{Page, VectorStore};

use crate::fixtures::*;
use crate::oracle::Oracle;

pub const TENANTS: u128 = 2;

#[derive(Clone, Debug)]
pub enum Step {
    Upsert(u128, Vec<Point>),
    Delete(u128, Filter),
    Query(u128, Vec<QueryVector>, usize, Filter, bool),
    Reopen,
}

fn weights() -> impl Strategy<Value = Vec<(u32, f32)>> {
    prop::collection::vec(
        (0_u32..12, (-2_i8..9).prop_map(|w| f32::from(w) / 3.0)),
        0..8,
    )
}

fn dense() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-3_i8..4).prop_map(f32::from), DIMENSION)
        .prop_filter("has a direction", |vector| vector.iter().any(|x| *x != 0.0))
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let one = (
        0_u128..48,
        1_u32..4,
        weights(),
        weights(),
        prop::option::of(dense()),
        0_u64..5,
    );
    let one = one.prop_map(|(number, version, bm25, chars, dense, second)| {
        let mut point = point(number, &bm25);
        point.sparse.insert("chars".to_owned(), sparse(&chars));
        point.dense = dense;
        point.payload.version = version;
        point.payload.created_at += Duration::from_secs(second);
        point.payload.source = if version == 2 {
            Source::Demo
        } else {
            Source::Upload
        };
        point
    });
    prop::collection::vec(one, 1..9).prop_map(|mut points| {
        points.sort_by_key(|point| point.id);
        points.dedup_by_key(|point| point.id);
        points
    })
}

fn filters() -> impl Strategy<Value = Filter> {
    let some = (
        prop::option::of(prop::collection::vec((0_u128..12).prop_map(document), 0..4)),
        prop::option::of(1_u32..4),
        prop::option::of(1_u32..4),
        prop::option::of(prop::sample::subsequence(
            vec!["en".to_owned(), "ru".to_owned()],
            0..=2,
        )),
        prop::option::of(0_u64..5),
        prop::option::of(0_u8..2),
    );
    let some = some.prop_map(
        |(document_ids, version, version_below, languages, second, parity)| {
            let metadata = parity.map(|parity| ("parity".to_owned(), parity.to_string()));
            let time = second.map(|s| FrozenClock::default().now() + Duration::from_secs(s));
            Filter {
                document_ids,
                version,
                version_below,
                languages,
                sources: None,
                created_after: time.filter(|_| version.is_none()),
                created_before: time.filter(|_| version.is_some()),
                metadata: metadata.into_iter().collect(),
            }
        },
    );
    prop_oneof![Just(Filter::default()), some]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let signal = prop_oneof![
        weights().prop_map(|pairs| by_bm25(&pairs)),
        weights().prop_map(|pairs| by_chars(&pairs)),
        dense().prop_map(QueryVector::Dense),
    ];
    let queries = prop::collection::vec(signal, 1..4);
    let step = prop_oneof![
        5 => (0..TENANTS, points()).prop_map(|(tenant, points)| Step::Upsert(tenant, points)),
        2 => (0..TENANTS, filters()).prop_map(|(tenant, filter)| Step::Delete(tenant, filter)),
        5 => (0..TENANTS, queries, 1_usize..20, filters(), any::<bool>()).prop_map(
            |(tenant, queries, limit, filter, complete)| {
                Step::Query(tenant, queries, limit, filter, complete)
            }
        ),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..50)
}

pub async fn same_points(store: &dyn VectorStore, oracle: &Oracle) {
    for number in 0..TENANTS {
        let page = Page {
            after: None,
            limit: 1000,
            with_vectors: true,
        };
        let listed = store.scroll(&all(number), page).await.unwrap().points;
        assert_eq!(listed, oracle.points(tenant(number), &Filter::default()));
    }
}

async fn run(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let uri = uri(directory.path());
    let mut opened = open(&uri).await;
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    let mut oracle = Oracle::default();
    for step in steps.into_iter().chain([Step::Reopen]) {
        match step {
            Step::Upsert(number, points) => {
                oracle.upsert(tenant(number), &points);
                opened.store.upsert(&part(number), points).await.unwrap();
            }
            Step::Delete(number, filter) => {
                let gone = opened
                    .store
                    .delete(&narrowed(number, filter.clone()))
                    .await
                    .unwrap();
                assert_eq!(gone, oracle.delete(tenant(number), &filter));
            }
            Step::Query(number, queries, limit, filter, complete) => {
                let expected = oracle.query(tenant(number), &queries, limit, &filter, complete);
                let mut wanted = search(queries, limit);
                wanted.complete_scores = complete;
                let scoped = narrowed(number, filter);
                let answer = opened.store.query(&scoped, wanted).await.unwrap();
                assert_eq!(answer.results, expected);
                let count = opened.store.count(&scoped).await.unwrap();
                assert_eq!(
                    count,
                    oracle.points(tenant(number), scoped.filter()).len() as u64
                );
            }
            Step::Reopen => {
                assert!(
                    opened
                        .life
                        .shutdown(Duration::from_mins(1))
                        .await
                        .is_clean()
                );
                opened = open(&uri).await;
                same_points(&*opened.store, &oracle).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_answers_like_the_oracle(steps in steps()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(run(steps));
    }
}
