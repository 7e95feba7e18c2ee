//! From chunks to points that were counted back.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use touchstone_api::embedding::{BM25, CHARS, EmbeddingKind, EmbeddingRequest, EmbeddingResponse};
use touchstone_api::vector::{
    CreateCollectionRequest, DenseConfig, Filter, Payload, Point, UpsertRequest,
};
use touchstone_types::{DocumentId, EventId, TenantId};

use super::calls::{embed, in_time, remove_points, upsert};
use super::parse::Text;
use super::trouble::{Step, Trouble};
use super::{COLLECTION, Group, Ingestor, caller};
use crate::domain::ingestion::Change;
use crate::domain::point::{DenseModel, chunk_id};
use crate::store::{self, Claimed, Failure, Outcome, Passed};

/// The way of a group through embedding and vector.
pub struct Index<'a> {
    ingestor: &'a Ingestor,
    group: Group,
    texts: HashMap<DocumentId, Text>,
    /// Model of the first answer of embedding; the group has one.
    model: Option<DenseModel>,
    /// When the last chunk was embedded.
    embedded_at: Option<DateTime<Utc>>,
}

/// Chunks that go to embedding together: positions in the group's texts.
struct Batch {
    language: Option<String>,
    chunks: Vec<(DocumentId, usize)>,
}

/// Why the group did not come through.
enum Stop {
    /// The store failed.
    Store(store::Error),
    /// A neighbour, or what it said.
    Trouble(Trouble),
    /// The service stops.
    Released,
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl<'a> Index<'a> {
    pub fn new(ingestor: &'a Ingestor, group: Group, texts: HashMap<DocumentId, Text>) -> Self {
        Self {
            ingestor,
            group,
            texts,
            model: None,
            embedded_at: None,
        }
    }

    /// Carries the group to `indexed`, or settles it otherwise.
    pub async fn run(mut self) -> Result<(), store::Error> {
        let outcomes = match self.write_points().await {
            Ok(()) => match self.confirm().await {
                Ok(outcomes) => outcomes,
                Err(trouble) => self.all(&trouble),
            },
            Err(Stop::Store(error)) => return Err(error),
            Err(Stop::Trouble(trouble)) => self.all(&trouble),
            Err(Stop::Released) => {
                let release = |document: &Claimed| Outcome::Released { id: document.id };
                self.group.documents.iter().map(release).collect()
            }
        };
        let (mut documents, mut chunks) = (0, 0);
        for outcome in &outcomes {
            if let Outcome::Indexed { id, .. } = outcome {
                documents += 1;
                chunks += self
                    .texts
                    .get(id)
                    .map_or(0, |text| text.chunks.len() as u64);
            }
        }
        self.ingestor.settle(self.group.claim, &outcomes).await?;
        self.ingestor.0.metrics.indexed.inc_by(documents);
        self.ingestor.0.metrics.chunks.inc_by(chunks);
        Ok(())
    }

    /// The same trouble for every document of the group.
    fn all(&self, trouble: &Trouble) -> Vec<Outcome> {
        let passed: Vec<_> = self.embedded().into_iter().collect();
        let each = |document| {
            self.ingestor
                .outcome(document, trouble.clone(), &passed, true)
        };
        self.group.documents.iter().map(each).collect()
    }

    fn embedded(&self) -> Option<Passed> {
        let at = self.embedded_at?;
        let model = self.model.clone().and_then(|DenseModel(name)| name);
        let detail = model.unwrap_or_else(|| "sparse only, dense: off".to_owned());
        Some(Passed {
            change: Change::Embedded,
            at,
            detail: Some(detail),
        })
    }

    fn batches(&self) -> Vec<Batch> {
        let most = self.ingestor.0.config.embed_batch;
        let mut batches: Vec<Batch> = Vec::new();
        for document in &self.group.documents {
            let Some(text) = self.texts.get(&document.id) else {
                continue;
            };
            for at in 0..text.chunks.len() {
                match batches.last_mut() {
                    Some(batch)
                        if batch.chunks.len() < most && batch.language == document.language =>
                    {
                        batch.chunks.push((document.id, at));
                    }
                    _ => batches.push(Batch {
                        language: document.language.clone(),
                        chunks: vec![(document.id, at)],
                    }),
                }
            }
        }
        batches
    }

    async fn write_points(&mut self) -> Result<(), Stop> {
        let inner = &self.ingestor.0;
        let stop = inner.life.soft_stop();
        let Some(tenant) = self.group.documents.first().map(|document| document.tenant) else {
            return Ok(());
        };
        self.clear(tenant).await?;
        let requests: Vec<_> = self
            .batches()
            .into_iter()
            .map(|batch| {
                let request = EmbeddingRequest {
                    input: batch
                        .chunks
                        .iter()
                        .map(|chunk| self.chunk_text(*chunk))
                        .collect(),
                    kind: EmbeddingKind::Passage,
                    model: None,
                    language: batch.language.clone(),
                    sparse_only: false,
                };
                (batch, request)
            })
            .collect();
        let total = requests.len();
        let mut answers = futures_util::stream::iter(requests)
            .map(|(batch, request)| async move {
                let started = Instant::now();
                let answer = embed(inner, tenant, &request).await;
                inner.metrics.step("embed", started.elapsed());
                (batch, answer)
            })
            .buffered(inner.config.embed_parallel);
        let mut done = 0;
        while let Some((batch, answer)) = answers.next().await {
            let answer = answer?;
            done += 1;
            self.learn_model(tenant, &answer).await?;
            if done == total {
                self.embedded_at = Some(inner.clock.now());
            }
            if stop.is_cancelled() && done < total {
                return Err(Stop::Released);
            }
            // Cancelled, deleted or replaced meanwhile: its points are not written.
            if total > 1 || self.group.renewed.elapsed() > inner.config.lease / 3 {
                self.ingestor.check(&mut self.group).await?;
            }
            let points = self.points(batch, answer);
            if !points.is_empty() {
                let started = Instant::now();
                upsert(inner, tenant, UpsertRequest { points }).await?;
                inner.metrics.step("upsert", started.elapsed());
            }
            if self.group.documents.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn chunk_text(&self, (id, at): (DocumentId, usize)) -> String {
        let text = self.texts.get(&id);
        let chunk = text.and_then(|text| text.chunks.get(at)?.span.of(&text.body));
        chunk.unwrap_or_default().to_owned()
    }

    /// Removes what earlier attempts may have left, and what a rebuild replaces.
    async fn clear(&self, tenant: TenantId) -> Result<(), Trouble> {
        let stale: Vec<_> = self
            .group
            .documents
            .iter()
            .filter(|document| document.rebuild || document.attempt() > 1)
            .map(|document| document.id)
            .collect();
        if stale.is_empty() {
            Ok(())
        } else {
            remove_points(&self.ingestor.0, tenant, &stale).await
        }
    }

    /// Makes sure that the collection fits the model, once per model.
    async fn learn_model(
        &mut self,
        tenant: TenantId,
        answer: &EmbeddingResponse,
    ) -> Result<(), Trouble> {
        let model = DenseModel(answer.model.clone());
        match &self.model {
            Some(known) if *known == model => return Ok(()),
            Some(_) => {
                return Err(Trouble::Attempt(Failure {
                    code: "document.model_changed".to_owned(),
                    message: "the model changed under the document".to_owned(),
                }));
            }
            None => self.model = Some(model.clone()),
        }
        let inner = &self.ingestor.0;
        if inner.wake.knows_collection(&model) {
            return Ok(());
        }
        let dense = answer.model.clone().zip(answer.dimension);
        let request = CreateCollectionRequest {
            dense: dense.map(|(model, dimension)| DenseConfig { model, dimension }),
            sparse: vec![BM25.to_owned(), CHARS.to_owned()],
        };
        let caller = caller(tenant, inner.config.index_deadline);
        let created = inner.vector.create(&caller, COLLECTION, &request);
        in_time(inner, Step::Index, created).await?;
        inner.wake.learn_collection(model);
        Ok(())
    }

    fn points(&self, batch: Batch, answer: EmbeddingResponse) -> Vec<Point> {
        let held: HashMap<_, _> = self
            .group
            .documents
            .iter()
            .map(|document| (document.id, document))
            .collect();
        batch
            .chunks
            .into_iter()
            .zip(answer.items)
            .filter_map(|((id, at), embedding)| {
                let (document, text) = (held.get(&id)?, self.texts.get(&id)?);
                let chunk = text.chunks.get(at)?;
                let payload = Payload {
                    document_id: id,
                    version: document.version,
                    ordinal: chunk.ordinal,
                    start: chunk.span.start,
                    end: chunk.span.end,
                    text: chunk.span.of(&text.body)?.to_owned(),
                    title: text.title.clone(),
                    heading: chunk.heading.clone(),
                    language: embedding.language,
                    source: document.source,
                    created_at: document.created_at,
                    metadata: document.metadata.clone(),
                };
                Some(Point {
                    id: chunk_id(id, document.version, chunk.ordinal, answer.model.as_deref()),
                    payload,
                    dense: embedding.dense,
                    sparse: embedding.sparse,
                })
            })
            .collect()
    }

    /// Counts the points back, removes those of older versions, and tells who is indexed.
    async fn confirm(&self) -> Result<Vec<Outcome>, Trouble> {
        let Some(tenant) = self.group.documents.first().map(|document| document.tenant) else {
            return Ok(Vec::new());
        };
        let started = Instant::now();
        let mut versions: BTreeMap<u32, Vec<&Claimed>> = BTreeMap::new();
        for document in &self.group.documents {
            versions.entry(document.version).or_default().push(document);
        }
        let mut outcomes = Vec::with_capacity(self.group.documents.len());
        for (version, documents) in versions {
            let wrong = self.wrongly_counted(tenant, version, &documents).await?;
            if version > 1 {
                let ids = documents.iter().map(|document| document.id).collect();
                self.remove_older(tenant, version, ids).await?;
            }
            for document in documents {
                outcomes.push(match wrong.get(&document.id) {
                    Some(found) => self.miscounted(document, *found),
                    None => self.indexed(document),
                });
            }
        }
        self.ingestor.0.metrics.step("confirm", started.elapsed());
        Ok(outcomes)
    }

    /// Documents whose points are not as many as their chunks, with what was counted. One request
    /// for all; only if that does not add up, one for each.
    async fn wrongly_counted(
        &self,
        tenant: TenantId,
        version: u32,
        documents: &[&Claimed],
    ) -> Result<HashMap<DocumentId, u64>, Trouble> {
        let ids: Vec<_> = documents.iter().map(|document| document.id).collect();
        let wanted: u64 = ids.iter().map(|id| self.chunk_count(*id)).sum();
        if self.count(tenant, version, ids.clone()).await? == wanted {
            return Ok(HashMap::new());
        }
        let mut wrong = HashMap::new();
        for id in ids {
            let found = self.count(tenant, version, vec![id]).await?;
            if found != self.chunk_count(id) {
                wrong.insert(id, found);
            }
        }
        Ok(wrong)
    }

    fn chunk_count(&self, id: DocumentId) -> u64 {
        self.texts
            .get(&id)
            .map_or(0, |text| text.chunks.len() as u64)
    }

    async fn count(
        &self,
        tenant: TenantId,
        version: u32,
        ids: Vec<DocumentId>,
    ) -> Result<u64, Trouble> {
        let inner = &self.ingestor.0;
        let filter = Filter {
            document_ids: Some(ids),
            version: Some(version),
            ..Filter::default()
        };
        let caller = caller(tenant, inner.config.index_deadline);
        let counted = inner.vector.count(&caller, COLLECTION, filter);
        Ok(in_time(inner, Step::Index, counted).await?.count)
    }

    async fn remove_older(
        &self,
        tenant: TenantId,
        version: u32,
        ids: Vec<DocumentId>,
    ) -> Result<(), Trouble> {
        let inner = &self.ingestor.0;
        let filter = Filter {
            document_ids: Some(ids),
            version_below: Some(version),
            ..Filter::default()
        };
        let caller = caller(tenant, inner.config.index_deadline);
        let deleted = inner.vector.delete(&caller, COLLECTION, filter);
        in_time(inner, Step::Index, deleted).await?;
        Ok(())
    }

    fn miscounted(&self, document: &Claimed, found: u64) -> Outcome {
        let failure = Failure {
            code: "document.count_mismatch".to_owned(),
            message: format!(
                "the index holds {found} points for {} chunks",
                self.chunk_count(document.id)
            ),
        };
        self.ingestor
            .outcome(document, Trouble::Attempt(failure), &[], true)
    }

    fn indexed(&self, document: &Claimed) -> Outcome {
        let at = self.ingestor.0.clock.now();
        let detail = Some(format!(
            "{} points counted back",
            self.chunk_count(document.id)
        ));
        let mut passed: Vec<_> = self.embedded().into_iter().collect();
        passed.push(Passed {
            change: Change::Indexed,
            at,
            detail,
        });
        Outcome::Indexed {
            id: document.id,
            passed,
            model: self.model.clone().and_then(|DenseModel(name)| name),
            event: self.ingestor.0.ids.next::<EventId>(),
        }
    }
}
