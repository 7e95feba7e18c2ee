use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use touchstone_text::detect;

use crate::collection::{Collection, Document, Error, Gold, Query};

const CORPUS: &str = "corpus.jsonl";
const QUERIES: &str = "queries.jsonl";

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

pub(crate) fn is_folder(path: &Path) -> bool {
    path.join(CORPUS).is_file()
}

pub(crate) fn read(path: &Path) -> Result<Collection, Error> {
    let documents: Vec<Document> = lines::<Record>(&path.join(CORPUS))?
        .into_iter()
        .map(|record| Document {
            id: record.id,
            title: record.title,
            text: record.text,
            sentences: Vec::new(),
        })
        .collect();
    let places: HashMap<&str, usize> = documents
        .iter()
        .enumerate()
        .map(|(at, document)| (document.id.as_str(), at))
        .collect();
    let judgements = judgements(&judgement_file(path)?)?;
    let mut queries = Vec::new();
    for record in lines::<Record>(&path.join(QUERIES))? {
        let Some(judged) = judgements.get(&record.id) else {
            continue;
        };
        let mut relevant: Vec<Gold> = judged
            .iter()
            .filter(|(_, grade)| *grade > 0)
            .filter_map(|(id, grade)| {
                Some(Gold {
                    document: *places.get(id.as_str())?,
                    grade: *grade,
                    answer: None,
                })
            })
            .collect();
        relevant.sort_by_key(|gold| (std::cmp::Reverse(gold.grade), gold.document));
        if !relevant.is_empty() {
            queries.push(Query {
                id: record.id,
                text: record.text,
                relevant,
            });
        }
    }
    if queries.is_empty() {
        return Err(Error::Inconsistent {
            path: path.to_owned(),
            problem: "no question has a judged document".to_owned(),
        });
    }
    let sample: String = documents.iter().take(5).map(|d| d.text.as_str()).collect();
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(Collection {
        name,
        language: detect(&sample),
        documents,
        queries,
    })
}

/// `qrels/test.tsv`, else `qrels.tsv`, else the first of `qrels/*.tsv`.
fn judgement_file(path: &Path) -> Result<PathBuf, Error> {
    for candidate in ["qrels/test.tsv", "qrels.tsv"] {
        let file = path.join(candidate);
        if file.is_file() {
            return Ok(file);
        }
    }
    let folder = path.join("qrels");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|source| Error::Read {
            path: folder.clone(),
            source,
        })?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|ending| ending == "tsv"))
        .collect();
    files.sort();
    files.into_iter().next().ok_or(Error::UnknownFormat(folder))
}

fn judgements(path: &Path) -> Result<HashMap<String, Vec<(String, u32)>>, Error> {
    let text = read_text(path)?;
    let mut found: HashMap<String, Vec<(String, u32)>> = HashMap::new();
    for (at, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        // Three columns as BEIR writes them, four as TREC does.
        let (query, document, grade) = match fields[..] {
            [query, document, grade] | [query, _, document, grade] => (query, document, grade),
            _ => ("", "", ""),
        };
        match grade.parse::<i64>() {
            Ok(grade) => {
                let grade = u32::try_from(grade.max(0)).unwrap_or(u32::MAX);
                found
                    .entry(query.to_owned())
                    .or_default()
                    .push((document.to_owned(), grade));
            }
            Err(_) if at == 0 => {}
            Err(_) => {
                return Err(Error::Inconsistent {
                    path: path.to_owned(),
                    problem: format!("line {} is no judgement", at + 1),
                });
            }
        }
    }
    Ok(found)
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    read_text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|source| Error::Malformed {
                path: path.to_owned(),
                place: format!("line {}", at + 1),
                source,
            })
        })
        .collect()
}

fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use crate::load;

    #[test]
    fn reads_corpus_queries_and_judgements() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tiny");
        std::fs::create_dir_all(root.join("qrels")).unwrap();
        std::fs::write(
            root.join("corpus.jsonl"),
            "{\"_id\":\"a\",\"title\":\"T\",\"text\":\"one\"}\n{\"_id\":\"b\",\"text\":\"two\"}\n",
        )
        .unwrap();
        std::fs::write(
            root.join("queries.jsonl"),
            "{\"_id\":\"q\",\"text\":\"which?\"}\n{\"_id\":\"unjudged\",\"text\":\"no\"}\n",
        )
        .unwrap();
        std::fs::write(
            root.join("qrels/test.tsv"),
            "query-id\tcorpus-id\tscore\nq\tb\t2\nq\ta\t0\nq\tgone\t1\n",
        )
        .unwrap();
        let collection = load(&root).unwrap().remove(0);
        assert_eq!(collection.name, "tiny");
        assert_eq!(collection.documents.len(), 2);
        assert_eq!(collection.queries.len(), 1);
        assert_eq!(collection.queries[0].relevant.len(), 1);
        assert_eq!(collection.queries[0].relevant[0].document, 1);
    }
}
