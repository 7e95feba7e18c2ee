//! Collections: made with every index they need, confirmed, grown, dropped.

use std::collections::HashMap;

use qdrant_client::Payload;
use qdrant_client::qdrant::create_vector_name_request::VectorConfig;
use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    CollectionInfo, CreateCollection, CreateFieldIndexCollection, CreateVectorNameRequest,
    DenseVectorCreationConfig, Distance, FieldType, IntegerIndexParams, KeywordIndexParams,
    Modifier, PayloadIndexParams, SparseVectorConfig, SparseVectorParams, UpdateCollection, Value,
    VectorParams, VectorParamsMap, VectorsConfig,
};
use serde::{Deserialize, Serialize};

use super::QdrantStore;
use super::connection::{is_already_there, is_being_made, is_not_found};
use super::payload::{DENSE, field};
use crate::domain::{CollectionName, Definition, Dense};
use crate::error::Error;

/// Key of our facts in Qdrant's metadata of a collection.
const OURS: &str = "touchstone";

/// What a collection is, in Qdrant's metadata of it.
#[derive(Serialize, Deserialize)]
struct Label {
    model: Option<String>,
    dimension: Option<usize>,
    sparse: Vec<String>,
}

impl QdrantStore {
    pub(super) async fn make_or_confirm(
        &self,
        name: &CollectionName,
        wanted: Definition,
    ) -> Result<Definition, Error> {
        let info = match self.info(name).await? {
            Some(info) => info,
            None => {
                self.create(name, &wanted).await?;
                // Somebody else may have been faster: what stands there counts.
                self.info(name)
                    .await?
                    .ok_or_else(|| Error::UnknownCollection(name.to_string()))?
            }
        };
        let stands = definition(name, &info)?;
        let confirmed = stands.confirm(name, &wanted)?;
        if let Some(dense) = confirmed.dense.as_ref().filter(|_| stands.dense.is_none()) {
            self.grow(name, &info, &confirmed, dense).await?;
        }
        self.index_payloads(name, &info).await?;
        Ok(confirmed)
    }

    pub(super) async fn read_definition(
        &self,
        name: &CollectionName,
    ) -> Result<Option<Definition>, Error> {
        match self.info(name).await {
            Ok(Some(info)) => {
                let stands = definition(name, &info)?;
                // Somebody is making it, or could not finish: without its indexes it cannot be listed.
                self.index_payloads(name, &info).await?;
                Ok(Some(stands))
            }
            Ok(None) => Ok(None),
            Err(Error::Qdrant { source, .. }) if is_being_made(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of our collections, in order.
    pub(super) async fn names(&self) -> Result<Vec<CollectionName>, Error> {
        let listed = self
            .inner
            .connection
            .read("list collections", (), |client, ()| async move {
                client.list_collections().await
            })
            .await?;
        let mut names: Vec<CollectionName> = listed
            .collections
            .iter()
            .filter_map(|found| found.name.strip_prefix(&self.inner.options.prefix))
            .filter_map(|name| CollectionName::parse(name).ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Tells whether it was there.
    pub(super) async fn drop_collection(&self, name: &CollectionName) -> Result<bool, Error> {
        let native = self.native(name);
        let dropped = self
            .inner
            .connection
            .write("remove", native.clone(), |client, request| async move {
                client.delete_collection(request).await
            })
            .await;
        match dropped {
            Ok(answer) => {
                if answer.result {
                    tracing::info!(collection = %name, "removed collection `{name}`");
                }
                Ok(answer.result)
            }
            Err(Error::Qdrant { source, .. }) if is_not_found(&source) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn info(&self, name: &CollectionName) -> Result<Option<CollectionInfo>, Error> {
        let native = self.native(name);
        let found = self
            .inner
            .connection
            .read("describe", native.clone(), |client, request| async move {
                client.collection_info(request).await
            })
            .await;
        match found {
            Ok(answer) => Ok(answer.result),
            Err(Error::Qdrant { source, .. }) if is_not_found(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, name: &CollectionName, wanted: &Definition) -> Result<(), Error> {
        let dense = wanted.dense.as_ref().map(|dense| {
            let params = VectorParams {
                size: dense.dimension as u64,
                distance: Distance::Dot.into(),
                ..VectorParams::default()
            };
            (DENSE.to_owned(), params)
        });
        let sparse = wanted.sparse.iter().map(|name| {
            let params = SparseVectorParams {
                modifier: Some(Modifier::Idf.into()),
                ..SparseVectorParams::default()
            };
            (name.clone(), params)
        });
        let request = CreateCollection {
            collection_name: self.native(name),
            vectors_config: Some(VectorsConfig {
                config: Some(Config::ParamsMap(VectorParamsMap {
                    map: dense.into_iter().collect(),
                })),
            }),
            sparse_vectors_config: Some(SparseVectorConfig {
                map: sparse.collect(),
            }),
            replication_factor: Some(self.inner.options.replication_factor),
            metadata: label(wanted),
            ..CreateCollection::default()
        };
        let made = self
            .inner
            .connection
            .write("create", request, |client, request| async move {
                client.create_collection(request).await
            })
            .await;
        match made {
            Ok(_) => {
                tracing::info!(collection = %name, "created collection `{name}`");
                Ok(())
            }
            Err(Error::Qdrant { source, .. }) if is_already_there(&source) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds the dense side. The label comes last: cut short, the next call begins again.
    async fn grow(
        &self,
        name: &CollectionName,
        info: &CollectionInfo,
        grown: &Definition,
        dense: &Dense,
    ) -> Result<(), Error> {
        if !has_dense(info) {
            let request = CreateVectorNameRequest {
                collection_name: self.native(name),
                wait: Some(true),
                vector_name: DENSE.to_owned(),
                vector_config: Some(VectorConfig::DenseConfig(DenseVectorCreationConfig {
                    size: dense.dimension as u64,
                    distance: Distance::Dot.into(),
                    ..DenseVectorCreationConfig::default()
                })),
                ..CreateVectorNameRequest::default()
            };
            let added = self
                .inner
                .connection
                .write("add vectors", request, |client, request| async move {
                    client.create_vector_name(request).await
                })
                .await;
            match added {
                Ok(_) => {}
                Err(Error::Qdrant { source, .. }) if is_already_there(&source) => {}
                Err(error) => return Err(error),
            }
        }
        let request = UpdateCollection {
            collection_name: self.native(name),
            metadata: label(grown),
            ..UpdateCollection::default()
        };
        self.inner
            .connection
            .write("label", request, |client, request| async move {
                client.update_collection(request).await
            })
            .await?;
        tracing::info!(collection = %name, model = dense.model, "collection `{name}` gained dense vectors");
        Ok(())
    }

    /// Makes the payload indexes that are missing.
    async fn index_payloads(
        &self,
        name: &CollectionName,
        info: &CollectionInfo,
    ) -> Result<(), Error> {
        for (key, kind, params) in missing(info) {
            let request = CreateFieldIndexCollection {
                collection_name: self.native(name),
                wait: Some(true),
                field_name: key.to_owned(),
                field_type: Some(kind.into()),
                field_index_params: Some(PayloadIndexParams {
                    index_params: Some(params),
                }),
                ..CreateFieldIndexCollection::default()
            };
            self.inner
                .connection
                .write("index payloads", request, |client, request| async move {
                    client.create_field_index(request).await
                })
                .await?;
        }
        Ok(())
    }
}

/// The indexes that a collection does not have.
fn missing(
    info: &CollectionInfo,
) -> impl Iterator<Item = (&'static str, FieldType, IndexParams)> + '_ {
    let indexes = indexes().into_iter();
    indexes.filter(|(key, ..)| !info.payload_schema.contains_key(*key))
}

/// The indexed fields. The tenant's lays out the segments, so that a search reads its own part.
fn indexes() -> [(&'static str, FieldType, IndexParams); 8] {
    let word = |key, tenant: bool| {
        let params = KeywordIndexParams {
            is_tenant: tenant.then_some(true),
            ..KeywordIndexParams::default()
        };
        (
            key,
            FieldType::Keyword,
            IndexParams::KeywordIndexParams(params),
        )
    };
    let number = |key, lookup: bool| {
        let params = IntegerIndexParams {
            lookup: Some(lookup),
            range: Some(true),
            ..IntegerIndexParams::default()
        };
        (
            key,
            FieldType::Integer,
            IndexParams::IntegerIndexParams(params),
        )
    };
    [
        word(field::TENANT, true),
        word(field::DOCUMENT, false),
        word(field::LANGUAGE, false),
        word(field::SOURCE, false),
        word(field::FACTS, false),
        number(field::VERSION, true),
        number(field::CREATED_AT, false),
        number(field::RANK, false),
    ]
}

fn label(definition: &Definition) -> HashMap<String, Value> {
    let label = Label {
        model: definition.dense.as_ref().map(|dense| dense.model.clone()),
        dimension: definition.dimension(),
        sparse: definition.sparse.clone(),
    };
    let json = serde_json::json!({ OURS: label });
    Payload::try_from(json).unwrap_or_default().into()
}

fn definition(name: &CollectionName, info: &CollectionInfo) -> Result<Definition, Error> {
    let foreign = || Error::ForeignCollection(name.to_string());
    let config = info.config.as_ref().ok_or_else(foreign)?;
    let label = config.metadata.get(OURS).ok_or_else(foreign)?;
    let label: Label = serde_json::from_value(label.clone().into_json()).map_err(|_| foreign())?;
    Ok(Definition {
        dense: label
            .model
            .zip(label.dimension)
            .map(|(model, dimension)| Dense { model, dimension }),
        sparse: label.sparse,
    })
}

fn has_dense(info: &CollectionInfo) -> bool {
    let params = info
        .config
        .as_ref()
        .and_then(|config| config.params.as_ref());
    let vectors = params.and_then(|params| params.vectors_config.as_ref());
    matches!(
        vectors.and_then(|vectors| vectors.config.as_ref()),
        Some(Config::ParamsMap(named)) if named.map.contains_key(DENSE)
    )
}

#[cfg(test)]
mod tests {
    use qdrant_client::qdrant::PayloadSchemaInfo;

    use super::*;

    #[test]
    fn a_collection_that_was_left_half_made_lacks_the_indexes_that_lists_need() {
        let mut info = CollectionInfo::default();
        let lacks = |info: &CollectionInfo| missing(info).map(|(key, ..)| key).collect::<Vec<_>>();
        assert_eq!(lacks(&info).len(), indexes().len());
        assert!(lacks(&info).contains(&field::RANK));
        for (key, ..) in indexes()
            .into_iter()
            .filter(|(key, ..)| *key != field::RANK)
        {
            let made = PayloadSchemaInfo::default();
            info.payload_schema.insert(key.to_owned(), made);
        }
        assert_eq!(lacks(&info), [field::RANK]);
        let made = PayloadSchemaInfo::default();
        info.payload_schema.insert(field::RANK.to_owned(), made);
        assert!(lacks(&info).is_empty());
    }
}
