//! A backend that says who people are: it logs them in and issues the tokens that the relay asks for.
//!
//! ```console
//! $ openssl rand -hex 32 > secret
//! $ cargo run --release -- serve --set auth.mode=jwt --set auth.jwt_secret_file=secret
//! $ cargo run --example token_backend -- --secret-file secret          # in a second terminal
//! ```
//!
//! Then, as one of the two people that it knows (or in a browser, at <http://127.0.0.1:7480>):
//!
//! ```console
//! $ curl -s -d user=ada -d password=lovelace http://127.0.0.1:7480/login
//! $ TOKEN=$(curl -s -d user=ada -d password=lovelace http://127.0.0.1:7480/login | cut -d '"' -f 4)
//! $ cargo run --example chat -- --token "$TOKEN"
//! ```
//!
//! The answer is `{"token": "…", "expires_in": 3600}`. With it Ada is seen under the name that the backend knows, whatever
//! name she gives, and only in rooms that it grants her; without one, or with one that somebody else has signed, the
//! relay refuses her for good (UNAUTHORIZED), and the client does not try again.
//!
//! What to look at: [`Claims`]. The relay and the backend share the secret and nothing else; they never talk to each
//! other. Where the relay shall not be able to issue tokens, sign with a private key and give it the public one.

mod support;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};

/// How long a token is good for. Long enough to work, short enough to be taken back by waiting.
const LIFETIME_S: u64 = 3600;

/// A backend that issues tokens.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the relay has as `auth.jwt_secret_file`
    #[arg(long)]
    secret_file: PathBuf,
    #[arg(long, default_value = "127.0.0.1:7480")]
    listen: SocketAddr,
}

/// Your users are in a database, and their passwords there as hashes.
struct User {
    id: &'static str,
    password: &'static str,
    name: &'static str,
    documents: &'static [&'static str],
    permissions: &'static [&'static str],
}

const USERS: [User; 2] = [
    User {
        id: "ada",
        password: "lovelace",
        name: "Ada",
        documents: &["lobby", "novel", "team-*"],
        permissions: &["read", "write", "create", "delete"],
    },
    User {
        id: "guest",
        password: "guest",
        name: "a guest",
        documents: &["lobby"],
        permissions: &["read"],
    },
];

/// What a token says to the relay. `tenant` could keep the documents of two customers apart.
#[derive(Serialize)]
struct Claims {
    sub: &'static str,
    name: &'static str,
    /// Ids, or beginnings of ids with a star.
    documents: &'static [&'static str],
    permissions: &'static [&'static str],
    /// In seconds since 1970, as all times in tokens.
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

#[derive(Serialize)]
struct Issued {
    token: String,
    expires_in: u64,
}

fn main() -> ExitCode {
    support::ended(issue_tokens(Arguments::parse()))
}

fn issue_tokens(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // The relay leaves out white space around the secret, too.
    let secret = std::fs::read_to_string(&arguments.secret_file)?;
    let key = Arc::new(EncodingKey::from_secret(secret.trim().as_bytes()));
    let routes = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/login", post(login))
        .with_state(key);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
        println!("log in at http://{}", listener.local_addr()?);
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

async fn login(
    State(key): State<Arc<EncodingKey>>,
    Form(login): Form<Login>,
) -> Result<Json<Issued>, (StatusCode, &'static str)> {
    let known = USERS
        .iter()
        .find(|user| user.id == login.user && user.password == login.password);
    let user = known.ok_or((StatusCode::UNAUTHORIZED, "nobody with that password\n"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("it is after 1970").as_secs();
    let claims = Claims {
        sub: user.id,
        name: user.name,
        documents: user.documents,
        permissions: user.permissions,
        iat: now_s,
        exp: now_s + LIFETIME_S,
    };
    let token = encode(&Header::default(), &claims, &key);
    Ok(Json(Issued {
        token: token.expect("a secret signs anything"),
        expires_in: LIFETIME_S,
    }))
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>Log in</title>
<style>body { font: 1rem/1.5 system-ui; margin: 4rem auto; max-width: 20rem } label { display: block; margin: 1rem 0 }</style>
<h1>Log in</h1>
<form method="post" action="/login">
  <label>User <input name="user" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <button>Get a token</button>
</form>
"#;
