//! What every specification of the stack has in common.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};

/// Adds title, version, the problem schema and the security schemes.
pub(crate) fn complete(mut api: OpenApi, service: &str) -> OpenApi {
    api.info = InfoBuilder::new()
        .title(format!("Touchstone {service}"))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let components = api.components.get_or_insert_default();
    components.schemas.insert(
        touchstone_api::Problem::name().into_owned(),
        touchstone_api::Problem::schema(),
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    api
}
