//! Puts OpenAPI documents together.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::routes::table::{documented, is_public};

/// What the gateway itself may answer on any forwarded path.
const OWN_ERRORS: [(&str, &str); 6] = [
    (
        "400",
        "The request cannot be read, or shows a credential in its URL",
    ),
    ("431", "The headers are too large"),
    ("429", "Too many requests"),
    ("500", "Internal error"),
    ("503", "The service is away or overloaded"),
    ("504", "The deadline passed"),
];
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// The document of the whole stack: `own`, and of each service what the gateway forwards to it.
///
/// Components of the same name and content are one; of the same name and other content, the later
/// service's gets the service's name in front, and its references follow.
pub(crate) fn merge(own: Value, services: Vec<(&'static str, Value)>, missing: &[&str]) -> Value {
    let mut document = own;
    for (service, mut specification) in services {
        let names = rename_conflicts(service, &document, &specification);
        redirect(&mut specification, &names);
        merge_components(&mut document, &specification, &names);
        merge_paths(service, &mut document, &specification);
    }
    document["info"]["title"] = json!("Touchstone");
    document["info"]["description"] =
        json!("Documents in, cited answers out: every service of the stack behind its gateway.");
    document["servers"] = json!([{ "url": "/" }]);
    if !missing.is_empty() {
        document["x-missing-services"] = json!(missing);
    }
    document
}

type Names = BTreeMap<String, String>;

/// New references by old ones, for components that would collide.
fn rename_conflicts(service: &str, document: &Value, specification: &Value) -> Names {
    let mut names = Names::new();
    for (kind, name, component) in components(specification) {
        let taken = &document["components"][kind];
        if kind == "securitySchemes" || taken.get(name).is_none_or(|known| known == component) {
            continue;
        }
        let mut fresh = format!("{}{name}", capitalized(service));
        while taken.get(&fresh).is_some() {
            fresh.push('_');
        }
        let reference = |name: &str| format!("#/components/{kind}/{}", escaped(name));
        names.insert(reference(name), reference(&fresh));
    }
    names
}

fn redirect(value: &mut Value, names: &Names) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some(fresh) = names.get(text) {
                            text.clone_from(fresh);
                        }
                    }
                    // A discriminator's mapping holds references as plain values.
                    Value::Object(mapping) if key == "mapping" => {
                        for target in mapping.values_mut() {
                            if let Some(fresh) = target.as_str().and_then(|text| names.get(text)) {
                                *target = json!(fresh);
                            } else {
                                redirect(target, names);
                            }
                        }
                    }
                    other => redirect(other, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, names)),
        _ => {}
    }
}

fn merge_components(document: &mut Value, specification: &Value, names: &Names) {
    for (kind, name, component) in components(specification) {
        let old = format!("#/components/{kind}/{}", escaped(name));
        let name = match names.get(&old).and_then(|fresh| fresh.rsplit('/').next()) {
            Some(fresh) => fresh.replace("~1", "/").replace("~0", "~"),
            None => name.to_owned(),
        };
        document["components"][kind][&name] = component.clone();
    }
}

fn merge_paths(service: &'static str, document: &mut Value, specification: &Value) {
    let Some(paths) = specification["paths"].as_object() else {
        return;
    };
    for (inner, item) in paths {
        let Some(path) = documented(service, inner) else {
            continue;
        };
        let mut item = item.clone();
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                complete(service, inner, operation);
            }
        }
        document["paths"][&path] = item;
    }
}

/// Adds to an operation what the gateway makes of it.
fn complete(service: &str, inner: &str, operation: &mut Map<String, Value>) {
    operation.insert("tags".into(), json!([service]));
    if let Some(Value::String(id)) = operation.get_mut("operationId") {
        *id = format!("{service}_{id}");
    }
    let public = is_public(inner);
    if !public {
        operation
            .entry("security")
            .or_insert_with(|| json!([{ "bearer": [] }, { "api_key": [] }]));
    }
    let has_body = operation.contains_key("requestBody");
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else {
        return;
    };
    let own = OWN_ERRORS
        .into_iter()
        .chain((!public).then_some(("401", "No credential that holds")))
        .chain(has_body.then_some(("413", "The body is too large")));
    for (status, description) in own {
        responses.entry(status).or_insert_with(|| {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            let content = json!({ "application/problem+json": { "schema": schema } });
            json!({ "description": description, "content": content })
        });
    }
}

fn components(specification: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let kinds = specification["components"]
        .as_object()
        .into_iter()
        .flatten();
    kinds.flat_map(|(kind, items)| {
        let items = items.as_object().into_iter().flatten();
        items.map(move |(name, component)| (kind.as_str(), name.as_str(), component))
    })
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(paths: Value, schemas: Value) -> Value {
        json!({ "openapi": "3.1.0", "info": {}, "paths": paths, "components": { "schemas": schemas } })
    }

    #[test]
    fn components_that_collide_are_told_apart_and_equal_ones_are_one() {
        let usage = |ty: &str| json!({ "type": ty });
        let refers = json!({ "items": { "$ref": "#/components/schemas/Usage" } });
        let one = service(
            json!({ "/ask": { "post": { "operationId": "ask", "responses": {} } } }),
            json!({ "Usage": usage("object"), "Page": { "x": 1 }, "List": refers }),
        );
        let other = service(
            json!({ "/embeddings": { "post": { "requestBody": refers.clone() } } }),
            json!({ "Usage": usage("string"), "Page": { "x": 1 } }),
        );
        let merged = merge(
            json!({}),
            vec![("generation", one), ("embedding", other)],
            &[],
        );
        let schemas = &merged["components"]["schemas"];
        assert_eq!(schemas["Usage"], usage("object"));
        assert_eq!(schemas["EmbeddingUsage"], usage("string"));
        assert_eq!(schemas["List"], refers);
        assert_eq!(schemas.as_object().unwrap().len(), 4);
        let body = &merged["paths"]["/api/v1/embeddings"]["post"]["requestBody"];
        assert_eq!(body["items"]["$ref"], "#/components/schemas/EmbeddingUsage");
    }

    #[test]
    fn operations_get_their_place_their_security_and_the_errors_of_the_gateway() {
        let operation =
            || json!({ "operationId": "run", "responses": { "200": {}, "503": { "x": 1 } } });
        let auth = service(
            json!({ "/auth/login": { "post": operation() }, "/auth/me": { "get": operation() },
                    "/metrics": { "get": operation() }, "/documents": { "get": operation() } }),
            json!({}),
        );
        let merged = merge(json!({}), vec![("auth", auth)], &["vector"]);
        let paths = merged["paths"].as_object().unwrap();
        assert_eq!(
            paths.keys().collect::<Vec<_>>(),
            ["/api/v1/auth/login", "/api/v1/auth/me"]
        );
        let (login, me) = (
            &paths["/api/v1/auth/login"]["post"],
            &paths["/api/v1/auth/me"]["get"],
        );
        assert_eq!(
            (&login["operationId"], &login["tags"]),
            (&json!("auth_run"), &json!(["auth"]))
        );
        assert!(login.get("security").is_none() && login["responses"].get("401").is_none());
        assert!(me.get("security").is_some() && me["responses"].get("401").is_some());
        assert_eq!(me["responses"]["503"], json!({ "x": 1 }));
        assert_eq!(merged["x-missing-services"], json!(["vector"]));
    }

    #[test]
    fn foreign_faces_are_shown_at_the_root() {
        let chat = service(json!({ "/v1/chat/completions": { "post": {} } }), json!({}));
        let merged = merge(json!({}), vec![("generation", chat)], &[]);
        assert!(merged["paths"].get("/v1/chat/completions").is_some());
    }
}
