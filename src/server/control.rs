//! The control thread: HTTP for those who watch the relay (`admin`), on an address of its own, and whatever else is
//! neither hot nor about documents.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

use super::ServerError;
use super::admin::{self, Admin};

/// The control thread before it runs on its own.
pub struct Control {
    runtime: Runtime,
}

impl Control {
    pub fn new() -> Result<Self, ServerError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map(|runtime| Self { runtime })
            .map_err(system)
    }

    /// Does this first, on the caller's thread.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// From here on the thread runs, until the process ends, and answers the listener if there is one.
    pub fn start(
        self,
        listener: Option<TcpListener>,
        admin: Arc<Admin>,
    ) -> Result<Tasks, ServerError> {
        let tasks = Tasks {
            runtime: self.runtime.handle().clone(),
        };
        let serve = async move {
            let Some(listener) = listener else {
                return std::future::pending().await;
            };
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(admin::serve(listener, admin::routes(admin)).await)
        };
        let run = move || {
            let Err(error): std::io::Result<Infallible> = self.runtime.block_on(serve);
            tracing::error!(%error, "the control thread has ended");
        };
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(run)
            .map_err(system)?;
        Ok(tasks)
    }
}

/// What the control thread does, once it runs.
pub struct Tasks {
    runtime: Handle,
}

impl Tasks {
    /// Does this beside everything else.
    pub fn add(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }
}

fn system(source: std::io::Error) -> ServerError {
    ServerError::System {
        what: "the control thread",
        source,
    }
}
