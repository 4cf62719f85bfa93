//! `corelay store`: what a relay has stored, looked at, checked, copied and moved, by whoever runs it.
//!
//! All but `import` only read, and nothing in a directory changes that is read (`store::open_to_read`). While a relay has
//! a store open only `backup` can be had of it, which the relay makes itself.

mod backup;
mod content;
mod export;
mod import;
mod inspect;
mod lines;
mod time;
mod verify;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::auth;
use crate::config::{self, Config, bytes_text};
use crate::store::{self, Backend, BackupError, FjallReader, ReadError, StoreError};

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Say what is in the store, or what is known of one document.
    Inspect {
        /// The document, by its name within its tenant.
        document: Option<String>,
        /// The document's tenant. By default the one without a name.
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            requires = "document"
        )]
        tenant: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check that it fits together. Ends with 1 if something is wrong.
    Verify,
    /// Write documents to standard output, as lines of JSON.
    Export {
        #[command(flatten)]
        scope: Scope,
    },
    /// Read documents from a file that `export` has written, into a store that has none.
    Import {
        /// The file, or - for standard input.
        file: PathBuf,
        /// The store may have documents; those in the file that it has, or has had, are passed over.
        #[arg(long)]
        merge: bool,
    },
    /// Copy the store to a new directory, also while a relay uses it.
    Backup {
        /// Nothing is there yet. The relay, if one runs, writes it, with its rights.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Which documents are meant. By default all of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Scope {
    /// Only documents of this tenant; "" is the one without a name.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only this document, by its name within its tenant.
    #[arg(long, value_name = "NAME")]
    pub document: Option<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("there is no document {name:?}{}", of_tenant(tenant))]
    NoDocument { tenant: String, name: String },
    #[error("{tenant:?} is no tenant")]
    NoTenant { tenant: String },
    #[error("the document {document:?} is damaged: {what}. See corelay store verify")]
    Damaged { document: Arc<str>, what: String },
    #[error("line {number}: {what}")]
    Line { number: u64, what: String },
    #[error(
        "there are documents in {path}: name a store without any, or pass over those that it has with --merge"
    )]
    NotEmpty { path: PathBuf },
    #[error("the relay at {address} that uses the store does not make a backup: {reason}")]
    Relay { address: String, reason: String },
}

fn of_tenant(tenant: &str) -> String {
    match tenant {
        "" => String::new(),
        tenant => format!(" of the tenant {tenant:?}"),
    }
}

/// Does it with the store in `path`, or where the configuration says that it is. The exit code is 0 if it could be done
/// and nothing is wrong.
pub fn run(action: Action, path: Option<PathBuf>, config: &Config) -> ExitCode {
    let path = path.unwrap_or_else(|| config.store.path.clone());
    match act(action, &path, config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corelay store: {error}");
            if let ToolError::Store(StoreError::InUse { .. }) = error {
                eprintln!(
                    "To look at the store of a relay that runs, have it make a copy: corelay store backup --to DIR"
                );
            }
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything is as it should be.
fn act(action: Action, path: &Path, config: &Config) -> Result<bool, ToolError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match action {
        Action::Inspect {
            document: None,
            json,
            ..
        } => {
            let store = store::open_to_read(path)?;
            inspect::store(&store, path, json, &mut out)?;
        }
        Action::Inspect {
            document: Some(name),
            tenant,
            json,
        } => {
            let store = store::open_to_read(path)?;
            inspect::document(&store.reader, &tenant, &name, json, &mut out)?;
        }
        Action::Verify => {
            let store = store::open_to_read(path)?;
            let is_sound = verify::verify(&store.reader, &mut out)?;
            out.flush()?;
            return Ok(is_sound);
        }
        Action::Export { scope } => {
            let store = store::open_to_read(path)?;
            let documents = export::export(&store.reader, &scope, &mut out)?;
            eprintln!("{documents} documents");
        }
        Action::Import { file, merge } => import_file(path, &file, merge)?,
        Action::Backup { to } => {
            // The relay may have been started elsewhere.
            let to = std::path::absolute(to)?;
            let made = backup::back_up(path, &to, config)?;
            writeln!(
                out,
                "{} documents with {} operations, {}, are in {}",
                made.documents,
                made.operations,
                bytes_text(made.bytes),
                to.display()
            )?;
        }
    }
    out.flush()?;
    Ok(true)
}

fn import_file(path: &Path, file: &Path, merge: bool) -> Result<(), ToolError> {
    let mut input: Box<dyn io::BufRead> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(file).map_err(|error| {
            let message = format!("{} cannot be read: {error}", file.display());
            io::Error::new(error.kind(), message)
        })?)),
    };
    let opened = store::open(&config::Store {
        path: path.to_owned(),
        ..config::Store::default()
    })?;
    let mut store = opened.store;
    if !merge && !store.reader().names(None, None)?.is_empty() {
        store.close()?;
        let path = path.to_owned();
        return Err(ToolError::NotEmpty { path });
    }
    let imported = import::import(&mut store, &mut input, merge);
    // What came before something that is wrong is there, and whole.
    store.close_as_copy()?;
    let imported = imported?;
    eprintln!(
        "{} documents imported, {} passed over",
        imported.documents, imported.passed_over
    );
    Ok(())
}

impl Scope {
    /// Does something with each document that is meant, in the order of lists.
    ///
    /// # Errors
    ///
    /// Also if the one document that is meant is not there.
    fn each(
        &self,
        reader: &FjallReader,
        mut each: impl FnMut(&Arc<str>) -> Result<(), ToolError>,
    ) -> Result<(), ToolError> {
        if let Some(document) = &self.document {
            let tenant = self.tenant.as_deref().unwrap_or_default();
            let name = global_id(tenant, document)?;
            return match reader.knows(&name)? {
                true => each(&name),
                false => Err(ToolError::NoDocument {
                    tenant: tenant.to_owned(),
                    name: document.clone(),
                }),
            };
        }
        if let Some(tenant) = &self.tenant {
            check_tenant(tenant)?;
        }
        let mut after: Option<Arc<str>> = None;
        loop {
            let names = reader.names(self.tenant.as_deref(), after.as_deref())?;
            names.iter().try_for_each(&mut each)?;
            match names.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

/// The name of a tenant's document inside the relay.
fn global_id(tenant: &str, name: &str) -> Result<Arc<str>, ToolError> {
    check_tenant(tenant)?;
    Ok(auth::global_id(tenant, name).into())
}

fn check_tenant(tenant: &str) -> Result<(), ToolError> {
    match auth::is_tenant(tenant) {
        true => Ok(()),
        false => Err(ToolError::NoTenant {
            tenant: tenant.to_owned(),
        }),
    }
}
