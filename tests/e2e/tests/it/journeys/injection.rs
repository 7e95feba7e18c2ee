//! What attacks databases and filters is a string like any other: in every parameter and every string
//! of every body of every operation, it fails nothing, shows nothing of others and changes nothing.

use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Map, Value, json};

use crate::support::Client;

/// What those tools try first, for PostgreSQL, SQLite, ClickHouse and the filters of Qdrant.
const STRINGS: [&str; 9] = [
    "' OR '1'='1",
    "'; DROP TABLE documents; --",
    "1) UNION ALL SELECT NULL, sqlite_version(), version() --",
    "x' || (SELECT pg_sleep(9)) || '",
    "\" OR tenant_id IS NOT NULL -- \\",
    "{\"must_not\": [{\"key\": \"tenant_id\"}], \"should\": []}",
    "%' ESCAPE '_' $1 ${1} :1 ? {0}",
    "\u{0}\u{1b}[2J\r\nX-Injected: 1",
    "\u{202e}ﷺ\u{ffff}💥",
];
/// Requests at a time.
const AT_A_TIME: usize = 8;
/// What another tenant has, and nobody else may see.
const CANARY: &str = "The zanzibar canary sings at noon.";
/// Deepest bodies that are made up.
const DEPTH: usize = 4;

pub async fn strings_that_attack_stores_are_only_strings(gateway: &str) {
    let victim = Client::register(gateway, "victim").await;
    let id = victim.upload("canary.txt", CANARY).await;
    victim.indexed(&id).await;
    // A key, because an attack on the session may end it.
    let attacker = Client::register(gateway, "attacker").await;
    let attacker = attacker.with_api_key().await;
    let own = attacker
        .upload("own.txt", "An attacker has a text too.")
        .await;
    attacker.indexed(&own).await;
    let url = format!("{gateway}/openapi.json");
    let specification: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let attacks = Attacks::of(&specification);
    let count = attacks.0.len();
    let all = stream::iter(attacks.0).map(|attack| attack.launch(&attacker, gateway));
    let told: Vec<Result<StatusCode, String>> = all.buffer_unordered(AT_A_TIME).collect().await;
    let (taken, failures): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
    assert!(failures.is_empty(), "{failures:#?}");
    let taken = taken.into_iter().flatten();
    let taken = taken.filter(StatusCode::is_success).count();
    assert!(count > 1000, "{count} attacks");
    // Most are refused for what they are, or name nothing that is there.
    assert!(
        taken > 20,
        "only {taken} of {count} were answered with success"
    );
    // Nothing is missing, and what is there is found.
    assert_eq!(victim.content(&id).await, CANARY);
    let found = victim.search("zanzibar canary").await;
    assert_eq!(found["hits"][0]["document_id"], id.as_str(), "{found}");
    assert_eq!(attacker.get(&format!("/documents/{own}")).await.status, 200);
}

/// A request with one hostile string.
struct Attack {
    method: Method,
    /// Segments of the path, the hostile ones as they are.
    segments: Vec<String>,
    query: Option<(String, String)>,
    body: Option<Value>,
}

impl Attack {
    /// The status of the answer, or what is wrong with it.
    async fn launch(self, attacker: &Client, gateway: &str) -> Result<StatusCode, String> {
        let mut url = Url::parse(gateway).unwrap();
        url.path_segments_mut().unwrap().extend(&self.segments);
        if let Some((name, value)) = &self.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let what = format!("{} {url} {:?}", self.method, self.body);
        let request: RequestBuilder = attacker.request_at(self.method, url);
        let request = match &self.body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await;
        let answer = answer.map_err(|error| format!("{what}: {error:?}"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap_or_default();
        let is_wrong = status.is_server_error()
            || headers.contains_key("x-injected")
            || text.contains("zanzibar")
            || text.to_lowercase().contains("syntax error");
        if is_wrong {
            return Err(format!("{what}: {status} {text}"));
        }
        Ok(status)
    }
}

/// Every attack on every operation.
struct Attacks(Vec<Attack>);

impl Attacks {
    fn of(specification: &Value) -> Self {
        let mut attacks = Self(Vec::new());
        for (path, item) in specification["paths"].as_object().unwrap() {
            let Some(inner) = path.strip_prefix("/api/v1/") else {
                continue;
            };
            for (method, operation) in item.as_object().unwrap() {
                let Ok(method) = method.to_uppercase().parse::<Method>() else {
                    continue;
                };
                attacks.on(specification, &method, inner, operation);
            }
        }
        attacks
    }

    fn on(&mut self, specification: &Value, method: &Method, path: &str, operation: &Value) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = (!schema.is_null()).then(|| example(specification, schema, DEPTH));
        let segments = |hostile: Option<(usize, &str)>| -> Vec<String> {
            let parts = ["api", "v1"].into_iter().chain(path.split('/'));
            let part = |(place, part): (usize, &str)| match (part.starts_with('{'), hostile) {
                (true, Some((at, hostile))) if at == place => hostile.to_owned(),
                (true, _) => "0192f0c1-2b3a-7cde-8f01-23456789abcd".to_owned(),
                (false, _) => part.to_owned(),
            };
            parts.enumerate().map(part).collect()
        };
        let plain = segments(None);
        let places = path.split('/').enumerate();
        let places = places.filter(|(_, part)| part.starts_with('{'));
        let places: Vec<usize> = places.map(|(place, _)| place + 2).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let names = parameters.filter(|it| it["in"] == "query");
        let names: Vec<&str> = names.filter_map(|it| it["name"].as_str()).collect();
        for hostile in STRINGS {
            let mut add = |segments, query, body| {
                self.0.push(Attack {
                    method: method.clone(),
                    segments,
                    query,
                    body,
                });
            };
            for place in &places {
                add(segments(Some((*place, hostile))), None, body.clone());
            }
            for name in &names {
                let query = ((*name).to_owned(), hostile.to_owned());
                add(plain.clone(), Some(query), body.clone());
            }
            let Some(body) = &body else {
                continue;
            };
            let mut pointers = Vec::new();
            strings(body, String::new(), &mut pointers);
            for pointer in pointers {
                let mut attacked = body.clone();
                *attacked.pointer_mut(&pointer).unwrap() = json!(hostile);
                add(plain.clone(), None, Some(attacked));
            }
        }
    }
}

/// Where the strings of a body are.
fn strings(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                strings(item, format!("{at}/{number}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                strings(member, format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// A value of this shape, with every member that it may have.
fn example(specification: &Value, schema: &Value, depth: usize) -> Value {
    let inner = |schema: &Value| example(specification, schema, depth - 1);
    if depth == 0 {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return example(
            specification,
            specification.pointer(pointer).unwrap(),
            depth,
        );
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        let options = schema[choice].as_array().into_iter().flatten();
        let mut options = options.filter(|option| option["type"] != "null");
        if let Some(option) = options.next() {
            return inner(option);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(members) = inner(part) {
                all.extend(members);
            }
        }
        return Value::Object(all);
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().find(|it| *it != "null").cloned(),
        one => Some(one.clone()),
    };
    match types.as_ref().and_then(Value::as_str) {
        Some("string") => match schema["format"].as_str() {
            Some("uuid") => json!("0192f0c1-2b3a-7cde-8f01-23456789abcd"),
            Some("date-time") => json!("2026-01-01T00:00:00Z"),
            _ => json!("text"),
        },
        Some("integer" | "number") => schema["minimum"]
            .as_f64()
            .map_or(json!(1), |least| json!(least.max(1.0) as u64)),
        Some("boolean") => json!(false),
        Some("array") => json!([inner(&schema["items"])]),
        _ => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members = members.map(|(name, member)| (name.clone(), inner(member)));
            // What is too deep is left out, not null.
            Value::Object(members.filter(|(_, it)| !it.is_null()).collect())
        }
    }
}
