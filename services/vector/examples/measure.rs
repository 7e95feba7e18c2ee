//! Measures the embedded store alone: `cargo run --release -p touchstone-vector --example measure
//! -- [points]`.
//!
//! Points look like chunks of 800 characters: about 90 BM25 terms and 64 character n-grams, both
//! with long posting lists at the head. Same seed, same points.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use touchstone_api::vector::{Filter, NamedSparseVector, Payload, Point, QueryVector};
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{
    ChunkId, Clock, DocumentId, FrozenClock, Source, SparseVector, SystemClock, TenantId,
};
use touchstone_vector::domain::{CollectionName, Definition, TenantScope};
use touchstone_vector::store::{EmbeddedStore, ScopedFilter, Search, VectorStore};
use touchstone_vector::{CpuPool, Metrics};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const BATCH: u64 = 500;
const QUERIES: usize = 400;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank below `most`, small ones more often: about Zipf's law for `skew` near one.
    fn rank(&mut self, most: f64, skew: f64) -> u32 {
        let power = 1.0 - skew;
        ((self.unit() * (most.powf(power) - 1.0) + 1.0).powf(1.0 / power) - 1.0) as u32
    }

    fn vector(&mut self, draws: usize, most: f64, skew: f64) -> SparseVector {
        let mut weights = BTreeMap::new();
        for _ in 0..draws {
            // Scattered over all of u32, as hashed terms are.
            let term = self.rank(most, skew).wrapping_mul(2_654_435_761);
            *weights.entry(term).or_insert(0.5_f32) += 0.7;
        }
        SparseVector::from_pairs(weights.into_iter().collect())
    }
}

fn words(dice: &mut Dice, count: usize) -> SparseVector {
    dice.vector(count, 60_000.0, 0.95)
}

fn grams(dice: &mut Dice, count: usize) -> SparseVector {
    dice.vector(count, 40_000.0, 0.7)
}

fn point(dice: &mut Dice, number: u64) -> Point {
    Point {
        id: ChunkId::from_uuid(Uuid::from_u64_pair(dice.next(), dice.next())),
        payload: Payload {
            document_id: DocumentId::from_uuid(Uuid::from_u64_pair(1, number / 10)),
            version: 1,
            ordinal: (number % 10) as u32,
            start: 0,
            end: 800,
            text: "word ".repeat(160),
            title: format!("document {}", number / 10),
            heading: None,
            language: "en".to_owned(),
            source: Source::Upload,
            created_at: FrozenClock::default().now(),
            metadata: BTreeMap::new(),
        },
        dense: None,
        sparse: [
            ("bm25".to_owned(), words(dice, 115)),
            ("chars".to_owned(), grams(dice, 68)),
        ]
        .into(),
    }
}

async fn open(uri: &str) -> Outcome<(EmbeddedStore, Lifecycle)> {
    let life = Lifecycle::new();
    let metrics = Metrics::new(&touchstone_telemetry::Metrics::new());
    let pool = CpuPool::new(0, 1024)?;
    let store =
        EmbeddedStore::open(uri, 16 << 20, pool, &life, Arc::new(SystemClock), metrics).await?;
    life.ready().await;
    Ok((store, life))
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Processor time of the process so far, which a busy machine does not stretch.
fn cpu_milliseconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // User and system time, in ticks of ten milliseconds.
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks * 10.0
}

fn say(line: &str) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn percentiles(mut milliseconds: Vec<f64>) -> String {
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    let (p50, p95, worst) = (at(0.5), at(0.95), at(1.0));
    format!("p50 {p50:.2} ms, p95 {p95:.2} ms, max {worst:.2} ms")
}

async fn queries(
    store: &EmbeddedStore,
    scoped: &ScopedFilter,
    with_payload: bool,
) -> Outcome<String> {
    let mut dice = Dice(99);
    let mut milliseconds = Vec::new();
    let cpu = cpu_milliseconds();
    for _ in 0..QUERIES {
        let named = |name: &str, vector| NamedSparseVector {
            name: name.to_owned(),
            vector,
        };
        let count = 64 + (dice.next() % 87) as usize;
        let wanted = Search {
            queries: vec![
                QueryVector::Sparse(named("bm25", words(&mut dice, 10))),
                QueryVector::Sparse(named("chars", grams(&mut dice, count))),
            ],
            limit: 100,
            complete_scores: true,
            with_payload,
        };
        let started = Instant::now();
        store.query(scoped, wanted).await?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (cpu_milliseconds() - cpu) / QUERIES as f64;
    Ok(format!(
        "{}, cpu {cpu:.2} ms each",
        percentiles(milliseconds)
    ))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let points: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |count| count.parse())?;
    let directory = tempfile::tempdir()?;
    let uri = format!("sqlite://{}/vector.db", directory.path().display());
    let (store, _life) = open(&uri).await?;
    let name = CollectionName::parse("chunks")?;
    let sparse = vec!["bm25".to_owned(), "chars".to_owned()];
    store
        .ensure(
            &name,
            Definition {
                dense: None,
                sparse,
            },
        )
        .await?;
    let scope = TenantScope::new(TenantId::from_uuid(Uuid::from_u128(1)), name);

    let (mut dice, mut spent, mut non_zeros) = (Dice(7), 0.0, 0);
    let before = resident_mib();
    for first in (0..points).step_by(BATCH as usize) {
        let batch: Vec<Point> = (first..(first + BATCH).min(points))
            .map(|n| point(&mut dice, n))
            .collect();
        non_zeros += batch
            .iter()
            .flat_map(|p| p.sparse.values())
            .map(SparseVector::len)
            .sum::<usize>();
        let started = Instant::now();
        store.upsert(&scope, batch).await?;
        spent += started.elapsed().as_secs_f64();
    }
    let per_point = non_zeros as f64 / points as f64;
    say(&format!("{points} points of {per_point:.0} non-zeros"))?;
    say(&format!(
        "upsert in batches of {BATCH}: {:.0} points/s",
        points as f64 / spent
    ))?;
    say(&format!("index: {} MiB", store.index_bytes() >> 20))?;
    say(&format!(
        "resident: {} MiB before, {} MiB after",
        before,
        resident_mib()
    ))?;

    let everything = ScopedFilter::new(scope.clone(), Filter::default());
    say(&format!(
        "query, top 100 of 2 signals, all scores: {}",
        queries(&store, &everything, false).await?
    ))?;
    say(&format!(
        "the same with payloads: {}",
        queries(&store, &everything, true).await?
    ))?;
    let filter = Filter {
        languages: Some(vec!["en".to_owned()]),
        ..Filter::default()
    };
    let narrowed = ScopedFilter::new(scope.clone(), filter);
    say(&format!(
        "the same with a filter: {}",
        queries(&store, &narrowed, false).await?
    ))?;

    let mut milliseconds = Vec::new();
    for number in 0..points / 100 {
        let document = DocumentId::from_uuid(Uuid::from_u64_pair(1, number));
        let filter = Filter {
            document_ids: Some(vec![document]),
            ..Filter::default()
        };
        let started = Instant::now();
        store
            .delete(&ScopedFilter::new(scope.clone(), filter))
            .await?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
    }
    say(&format!(
        "delete a document of 10: {}",
        percentiles(milliseconds)
    ))?;
    drop(store);
    let started = Instant::now();
    let (store, _life) = open(&uri).await?;
    say(&format!(
        "load at start: {:.2} s",
        started.elapsed().as_secs_f64()
    ))?;
    say(&format!(
        "query after the load: {}",
        queries(&store, &everything, false).await?
    ))?;
    Ok(())
}
