//! SIGHUP: the configuration is read anew, checked whole, and what can change of a running relay changes at once.
//!
//! Nothing changes if anything is wrong. First comes all that can fail: the file, the rules between keys, the keys of
//! tokens, what notices are signed with. Then everybody is given what is new, and no connection is closed for it. A shard takes it between two turns.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::Notify;

use super::ServerError;
use super::admin::SharedKeeper;
use super::authority::Sources;
use super::clock::Clock;
use super::crowd::Crowd;
use super::lifecycle::Report;
use super::mailbox::Mailbox;
use super::{log, notify, preflight, web};
use crate::config::{Config, ConfigError, Draft, Reload};
use crate::engine::Census;

/// Reads the configuration as at the start, from the same sources. An error is in words.
pub type Source = Arc<dyn Fn() -> Result<Draft, String> + Send + Sync>;

/// Whatever of the relay follows its configuration.
pub struct Reloader {
    pub source: Source,
    /// What is in effect.
    pub config: Config,
    pub clock: Clock,
    pub mailboxes: Arc<[Mailbox]>,
    pub census: Arc<Census>,
    pub crowd: Arc<Crowd>,
    pub web: web::Limiter,
    pub keeper: SharedKeeper,
    pub keys_wanted: Arc<Notify>,
    /// Whoever tells of documents, if somebody is told.
    pub notify: Option<notify::Handle>,
    pub reports: Sender<Report>,
}

/// What takes the place of what is in effect, when nothing can fail any more.
struct Prepared {
    reload: Reload,
    sources: Sources,
    /// `None`: nobody is told of documents.
    target: Option<notify::Target>,
}

impl Reloader {
    /// Reloads whenever that is wanted, for as long as the process lives.
    pub async fn follow(mut self, wanted: Arc<Notify>) {
        loop {
            wanted.notified().await;
            match self.prepare().await {
                Ok(prepared) => self.apply(prepared).await,
                Err(reasons) => {
                    for reason in &reasons {
                        tracing::error!("{reason}");
                    }
                    tracing::error!(
                        wrong = reasons.len(),
                        "the configuration is not reloaded, and nothing has changed"
                    );
                }
            }
        }
    }

    /// All that can fail.
    async fn prepare(&self) -> Result<Prepared, Vec<String>> {
        let source = Arc::clone(&self.source);
        let draft = tokio::task::spawn_blocking(move || source())
            .await
            .expect("it does not panic, and nobody cancels it");
        let draft = draft.map_err(|reason| vec![reason])?;
        let reload = draft.finish_over(&self.config).map_err(|errors| {
            errors
                .iter()
                .map(ConfigError::to_string)
                .collect::<Vec<_>>()
        })?;
        let said = |error: ServerError| vec![error.to_string()];
        let target = notify::Target::open(&reload.config.notify).map_err(said)?;
        let before = match &self.keeper {
            Some(keeper) => keeper.lock().await.key_set(),
            None => None,
        };
        let auth = &reload.config.auth;
        let sources = Sources::open(auth, self.clock, &self.keys_wanted, before.as_ref());
        Ok(Prepared {
            sources: sources.await.map_err(said)?,
            reload,
            target,
        })
    }

    async fn apply(&mut self, prepared: Prepared) {
        let Prepared {
            reload,
            sources,
            target,
        } = prepared;
        let Reload {
            config,
            changed,
            kept,
        } = reload;
        log::set(&config.log);
        let shards = self.mailboxes.len();
        preflight::open_files(&config, shards).log();
        let sockets_max = preflight::client_sockets_max(&config, shards);
        self.census.set_limits(&config.connection, &config.quota);
        self.crowd
            .set_max(sockets_max, config.connection.per_address_max);
        self.web.set(&config);
        let _ = self.reports.send(Report::Shutdown(config.shutdown.clone()));
        if let Some(keeper) = &self.keeper {
            let shared = Arc::clone(keeper);
            keeper
                .lock()
                .await
                .replace(sources, &config.auth, shared)
                .await;
        }
        if let Some((notify, target)) = self.notify.as_ref().zip(target) {
            notify.set(target);
        }
        self.config = config;
        let config = Arc::new(self.config.clone());
        let put = |mailbox: &Mailbox| mailbox.put_limits(Arc::clone(&config));
        let taken: Vec<_> = self.mailboxes.iter().map(put).collect();
        for taken in taken {
            // A shard that has left needs no limits.
            let _ = taken.await;
        }
        for changed in &changed {
            let (path, value) = (changed.key.path(), changed.key.value(&config));
            tracing::info!("{path}: now {value} (was {})", changed.was);
        }
        for key in &kept {
            let (path, value) = (key.path(), key.value(&config));
            tracing::warn!("{path}: needs a restart (still {value})");
        }
        tracing::info!(
            changed = changed.len(),
            need_restart = kept.len(),
            "the configuration is reloaded"
        );
    }
}
