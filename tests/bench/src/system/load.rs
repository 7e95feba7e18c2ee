//! Ingest to `indexed`, then search and ask over the filled index.

use std::path::Path;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Running, Session, percentile, session};
use crate::table::{Goal, Table};

/// Words of the invented language.
const VOCABULARY: usize = 50_000;
const SENTENCES_PER_DOCUMENT: usize = 80;
const WORDS_PER_SENTENCE: u64 = 14;
const UPLOADS: usize = 8;
const QUERIES: usize = 500;
const WARMUP: usize = 50;

pub async fn run(binary: &Path, chunks: usize, table: &mut Table) -> anyhow::Result<()> {
    let stack = Running::start(binary).await?;
    let user = &stack.session;
    user.settled().await?;
    let mut world = World::new(42);
    let filled = fill(user, &mut world, chunks).await?;
    let (held, rate) = (filled.held, filled.rate());
    let what = format!("ingest of {} chunks to `indexed`", filled.written);
    table.measured(&what, Goal::AtLeast(1000.0), rate, " chunks/s", 0);
    let search = |query: String| ("/search", json!({"query": query, "limit": 10}));
    let milliseconds = timed(user, &mut world, search).await?;
    report("search", held, 10.0, milliseconds, table);
    let ask = |query: String| ("/ask", json!({"question": query, "provider": "extractive"}));
    let milliseconds = timed(user, &mut world, ask).await?;
    report(
        "ask (extractive, over HTTP)",
        held,
        25.0,
        milliseconds,
        table,
    );
    table.measured(
        "memory with the index",
        Goal::None,
        stack.resident_mib()?,
        " MiB",
        0,
    );
    stack.stop().await
}

/// What an ingest brought.
pub struct Filled {
    /// Chunks in the index.
    pub held: usize,
    /// Those of them that are new.
    pub written: usize,
    /// From the first upload to the last chunk.
    pub seconds: f64,
}

impl Filled {
    /// Chunks per second.
    pub fn rate(&self) -> f64 {
        self.written as f64 / self.seconds
    }
}

/// Uploads until there are so many chunks more, all of them indexed.
pub async fn fill(user: &Session, world: &mut World, chunks: usize) -> anyhow::Result<Filled> {
    let (mut held, mut uploaded) = (count(user).await?, 0);
    let first = held;
    let started = Instant::now();
    // The chunker decides how many chunks a document makes; batches until there are enough.
    while held < first + chunks {
        let per_document = (held - first).checked_div(uploaded).unwrap_or(10).max(1);
        let missing = (first + chunks - held)
            .div_ceil(per_document)
            .clamp(1, 2000);
        let documents: Vec<String> = (0..missing).map(|_| world.document()).collect();
        upload(user, uploaded, documents).await?;
        uploaded += missing;
        user.settled().await?;
        held = count(user).await?;
    }
    Ok(Filled {
        held,
        written: held - first,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn report(what: &str, held: usize, goal: f64, mut milliseconds: Vec<f64>, table: &mut Table) {
    let what = |at: &str| format!("{what} at {held} chunks, {at}");
    let median = percentile(&mut milliseconds, 0.5);
    table.measured(&what("p50"), Goal::None, median, " ms", 2);
    let p95 = percentile(&mut milliseconds, 0.95);
    table.measured(&what("p95"), Goal::AtMost(goal), p95, " ms", 2);
}

async fn count(user: &Session) -> anyhow::Result<usize> {
    let path = "/collections/chunks/count";
    let request = user.request(Method::POST, path).json(&json!({}));
    let answer = request.send().await?;
    // The first chunk makes the collection.
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(0);
    }
    let told = session::told(path, answer).await?;
    Ok(told["count"].as_u64().unwrap_or_default() as usize)
}

async fn upload(user: &Session, first: usize, documents: Vec<String>) -> anyhow::Result<()> {
    futures_util::stream::iter(documents.into_iter().enumerate())
        .map(|(number, content)| async move {
            let name = format!("{:06}.txt", first + number);
            let body = json!({"filename": name, "content": content, "language": "en"});
            user.send(Method::POST, "/documents", Some(&body))
                .await
                .map(drop)
        })
        .buffer_unordered(UPLOADS)
        .try_collect()
        .await
}

/// Milliseconds of one call after the other.
async fn timed(
    user: &Session,
    world: &mut World,
    request: impl Fn(String) -> (&'static str, serde_json::Value),
) -> anyhow::Result<Vec<f64>> {
    let mut milliseconds = Vec::with_capacity(QUERIES);
    for number in 0..WARMUP + QUERIES {
        let (path, body) = request(world.question());
        let started = Instant::now();
        user.send(Method::POST, path, Some(&body)).await?;
        if number >= WARMUP {
            milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(milliseconds)
}

/// Texts of an invented language whose words are as unevenly common as those of real ones.
pub struct World {
    rng: StdRng,
    words: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let syllables = [
            "ka", "ro", "min", "tel", "su", "van", "der", "li", "pos", "en", "gra", "tu",
        ];
        let mut words: Vec<String> = [
            "the", "of", "and", "in", "to", "is", "was", "for", "on", "with",
        ]
        .map(str::to_owned)
        .to_vec();
        while words.len() < VOCABULARY {
            let length = 2 + rng.next_u64() % 3;
            let word = (0..length).map(|_| syllables[(rng.next_u64() % 12) as usize]);
            words.push(word.collect());
        }
        Self { rng, words }
    }

    /// Zipf's law by inversion: the rank of a uniform draw on a logarithmic scale.
    fn word(&mut self) -> &str {
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (self.words.len() as f64).powf(uniform) as usize - 1;
        &self.words[rank.min(VOCABULARY - 1)]
    }

    fn sentence(&mut self) -> String {
        let length = WORDS_PER_SENTENCE / 2 + self.rng.next_u64() % WORDS_PER_SENTENCE;
        let mut sentence = String::from("In ");
        for _ in 0..length {
            sentence.push_str(self.word());
            sentence.push(' ');
        }
        format!("{}. ", sentence.trim_end())
    }

    pub fn document(&mut self) -> String {
        (0..SENTENCES_PER_DOCUMENT)
            .map(|_| self.sentence())
            .collect()
    }

    pub fn question(&mut self) -> String {
        let mut question = String::from("what is");
        for _ in 0..6 {
            question.push(' ');
            question.push_str(self.word());
        }
        question + "?"
    }
}
