//! The routes of the HTTP interface, and their description, which is made of the same.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, extract::DefaultBodyLimit};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, Content, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Web, accept, content, documents, history, operations, pages, presence, versions};
use crate::server::http::problem::{CONTENT_TYPE, Problem, ProblemBody};
use crate::server::http::{PREFLIGHT_SECONDS, is_interface};

const ABOUT: &str = "\
Documents of a corelay relay, for backends and scripts. People who edit use the protocol itself \
(`proto/corelay.proto`), over a WebSocket; what is written here reaches them at once, and the other way round.

**Who asks** says so with `Authorization: Bearer …`, the same token as everywhere. Where the relay asks nobody for a \
token, `X-User-ID` and `X-User-Name` may name the user.

**A place in a document's history** is an epoch and a revision, and is its `ETag`: `\"1.17\"`. `If-None-Match` on reads, \
and `If-Match` and `If-None-Match` on everything that changes a document or its versions, are about that, and hold at the \
moment when it is done. What they stop is 412.

**Pages** are as long as `limit` says. What a page has as `next` is the `after` of the next one.

**Times** are milliseconds since 1970. One that is asked for may also be as RFC 3339 has it.

**Problems** have the media type `application/problem+json`. Their `code` and `name` are those of the protocol. \
`retryable` says whether the same request may succeed later; `Retry-After` when.

**Limits** are those of any other client: rates, quotas, connections of an address and of a user, sizes.

Numbers are exact in JavaScript. Bodies say their `Content-Length`.";

#[derive(OpenApi)]
#[openapi(
    info(title = "corelay", description = ABOUT),
    tags(
        (name = "documents", description = "Documents by name."),
        (name = "content", description = "What is in a document."),
        (name = "operations", description = "How it came to be so."),
        (name = "history", description = "Who changed what, and when."),
        (name = "presence", description = "Who is there."),
    ),
    components(schemas(ProblemBody)),
)]
struct Description;

/// Everything that the control thread answers on the clients' port.
pub fn routes(web: Arc<Web>, is_demo_on: bool) -> Router {
    let (interface, description) = interface();
    let description = description.to_json().expect("it has a form in JSON");
    let described = get(async move || ([(header::CONTENT_TYPE, accept::JSON)], description));
    interface
        .with_state(web)
        .route("/v1/openapi.json", described)
        .merge(pages::routes(is_demo_on))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(preflight))
}

/// The routes of the interface, and their description.
fn interface() -> (Router<Arc<Web>>, openapi::OpenApi) {
    let (routes, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(documents::list))
        .routes(routes!(
            documents::get,
            documents::create,
            documents::delete
        ))
        .routes(routes!(documents::restore))
        .routes(routes!(operations::get, operations::post))
        .routes(routes!(history::get))
        .routes(routes!(history::revert))
        .routes(routes!(versions::list, versions::save))
        .routes(routes!(versions::delete))
        .routes(routes!(presence::get))
        .route_layer(from_fn(accept::json_only))
        .routes(routes!(content::get, content::put))
        .split_for_parts();
    complete(&mut description);
    (routes, description)
}

/// Adds what is the same for all operations.
fn complete(description: &mut openapi::OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A JSON Web Token, or what the operator's backend knows.",
        ))
        .build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let problem = ResponseBuilder::new()
        .description("Why it was not done.")
        .content(
            CONTENT_TYPE,
            Content::new(Some(Ref::from_schema_name("Problem"))),
        )
        .build();
    components
        .responses
        .insert("Problem".to_owned(), problem.into());
    let none: [&str; 0] = [];
    description.security = Some(vec![
        SecurityRequirement::new("token", none),
        SecurityRequirement::default(),
    ]);
    for path in description.paths.paths.values_mut() {
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let problem = RefOr::Ref(Ref::from_response_name("Problem"));
            operation
                .responses
                .responses
                .insert("default".to_owned(), problem);
        }
    }
}

async fn not_found(request: Request) -> Response {
    if is_interface(request.uri().path()) {
        let words = "There is nothing here. /v1/openapi.json describes what there is.";
        return Problem::of_http(404, "Not Found", words).into_response();
    }
    pages::nowhere().await
}

async fn method_not_allowed(request: Request) -> Response {
    let words = format!("{} is not answered here.", request.method());
    if is_interface(request.uri().path()) {
        return Problem::of_http(405, "Method Not Allowed", words).into_response();
    }
    (StatusCode::METHOD_NOT_ALLOWED, words + "\n").into_response()
}

/// What a browser asks before it sends what a page of another origin cannot always send. What is there is said later.
async fn preflight(request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS || !is_interface(request.uri().path()) {
        return next.run(request).await;
    }
    let headers = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, PUT, POST, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match, If-None-Match, X-Client-ID, X-User-ID, X-User-Name",
        ),
    ];
    let age = [(
        header::ACCESS_CONTROL_MAX_AGE,
        PREFLIGHT_SECONDS.to_string(),
    )];
    (StatusCode::NO_CONTENT, headers, age).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path and operation of the description, and what it refers to.
    #[test]
    fn the_description_is_whole() {
        let text = interface().1.to_json().expect("JSON");
        let description: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let paths = description["paths"].as_object().expect("an object");
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("an object") {
                let words = operation["summary"].as_str().unwrap_or_default();
                assert!(!words.is_empty(), "{method} {path}");
                let problem = "#/components/responses/Problem";
                assert_eq!(operation["responses"]["default"]["$ref"], problem);
            }
        }
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("it ends");
            assert!(description.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
